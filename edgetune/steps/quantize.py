"""Checkpoint -> calibrated fake-quant graph -> INT8 ONNX in Q/DQ form, checked against the graph."""

import json
from collections.abc import Iterator
from itertools import islice

from torch import Tensor

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 2


def kept_in_float(context: StepContext) -> tuple[str, ...]:
    """Names of the modules whose layers are not quantized: the recipe's, or those that timing chose."""
    if "float_layers" in context.inputs:
        chosen = json.loads((context.inputs["float_layers"] / "float_layers.json").read_text(encoding="utf-8"))
        return tuple(chosen["keep_float"])
    return tuple(context.params.get("keep_float", ()))


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close ONNX Runtime's outputs are to torch's."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    scheme = QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])})
    examples = make_examples(context, spec, batch_size=32, augmentation="none")

    def samples() -> Iterator[Tensor]:
        return (images for images, _ in examples.calibration(params["calibration_samples"]))

    quantized = quantize(
        network,
        spec.example(),
        scheme,
        samples,
        repair=tuple(params["repair"]),
        keep_float=kept_in_float(context),
        progress=context.tick,
    )
    path = context.out / "model.onnx"
    export_onnx(quantized, spec.example(), path, opset=params["opset"])
    parity = check_parity(quantized, path, islice(samples(), PARITY_BATCHES))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
