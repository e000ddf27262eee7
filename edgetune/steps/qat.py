"""Checkpoint -> calibrated graph -> quantization-aware training -> INT8 ONNX in Q/DQ form."""

from edgetune.quantization.qat import QuantizedNetwork
from edgetune.steps.context import StepContext
from edgetune.steps.quantize import calibrated, export_checked
from edgetune.steps.quantized_training import train_quantized


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as notes, the curve and how close ONNX Runtime's outputs are to torch's.

    What training does not better on validation stays as calibration left it.
    """
    made = calibrated(context)
    network = QuantizedNetwork(made.graph, learn_scales=context.params.get("scales", "learned") == "learned")
    train_quantized(network, made.network, made.spec, context)
    export_checked(network.settle(), made, context)
