"""What whole layers, heads and neurons of the fine-tuned encoder cost on the target's device."""

import copy
from pathlib import Path

from torch import nn

from edgetune.export.onnx_export import export_onnx
from edgetune.hashing import canonical_json
from edgetune.measure.encoder_latency import median_latencies
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint
from edgetune.models.encoder_layers import drop_layers, encoder_layers
from edgetune.pruning.encoder import EncoderCosts
from edgetune.quantization.dynamic import quantize_weights
from edgetune.steps.context import StepContext
from edgetune.steps.texts import load_texts


def run(context: StepContext) -> None:
    """Write ``costs.json``: milliseconds of the whole network, a layer, the neurons of a layer and its heads."""
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    count = len(encoder_layers(network))
    files = {
        name: _engine(variant, spec, name, context)
        for name, variant in {
            "whole": network,
            "shorter": _without_a_layer(network),
            "narrow": _half_the_neurons(network),
            "headless": _half_the_heads(network),
        }.items()
    }
    texts = load_texts(context)
    numbers = texts.numbers("val")
    middle = numbers[texts.lengths[numbers].argsort(kind="stable")[len(numbers) // 2]]
    ids = texts.batch([int(middle)])[0].numpy()
    ms = median_latencies(
        files, ids, session=context.session(), seed=context.seed, progress=context.tick, device=context.device
    )
    costs = EncoderCosts(
        whole=ms["whole"],
        layer=max(0.0, ms["whole"] - ms["shorter"]),
        neurons=max(0.0, 2 * (ms["whole"] - ms["narrow"]) / count),
        heads=max(0.0, 2 * (ms["whole"] - ms["headless"]) / count),
    )
    (context.out / "costs.json").write_text(canonical_json(costs.to_json()), encoding="utf-8")


def _engine(network: nn.Module, spec: NetworkSpec, name: str, context: StepContext) -> Path:
    path = context.scratch / f"{name}.onnx"
    options = {"opset": context.params["opset"], "input_name": "input_ids", "max_length": spec.max_length}
    export_onnx(network.eval(), spec.example(), path, **options)
    if (scheme := context.params["int8"]) is not None:
        quantize_weights(path, path, per_channel=scheme["per_channel"], reduce_range=scheme["reduce_range"])
    return path


def _without_a_layer(network: nn.Module) -> nn.Module:
    made = copy.deepcopy(network)
    drop_layers(made, [0])
    return made


def _half_the_neurons(network: nn.Module) -> nn.Module:
    made = copy.deepcopy(network)
    for layer in encoder_layers(made):
        layer.cut_neurons(range(layer.neurons // 2))
    return made


def _half_the_heads(network: nn.Module) -> nn.Module:
    made = copy.deepcopy(network)
    for layer in encoder_layers(made):
        layer.cut_heads(range(layer.heads // 2))
    return made
