"""Checkpoint of an encoder -> training with the rounding of dynamic INT8 in it -> checkpoint of the same encoder."""

from edgetune.models.checkpoint import load_checkpoint, save_checkpoint
from edgetune.quantization.dynamic_graph import trace_dynamic
from edgetune.quantization.qat import QuantizedNetwork, take_weights
from edgetune.steps.context import StepContext
from edgetune.steps.dynamic_bench import dynamic_settings, scheme_of
from edgetune.steps.quantized_training import train_quantized


def run(context: StepContext) -> None:
    """Write the checkpoint, whose float weights are those that dynamic INT8 loses least of, and note the curve.

    What training does not better on validation stays as it was.
    """
    spec, teacher, history = load_checkpoint(context.inputs["network"], context.base)
    scheme, kept = scheme_of(context), dynamic_settings(context).keep_float
    graph = trace_dynamic(teacher, spec.example(), spec.max_length, **scheme, keep_float=kept)
    network = QuantizedNetwork(graph)
    train_quantized(network, teacher, spec, context)
    take_weights(teacher, network.settle())
    save_checkpoint(context.out, spec, teacher, history)
