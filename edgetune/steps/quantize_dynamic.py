"""Float ONNX -> ONNX with int8 weights and activations quantized as they come, checked against the float file."""

from itertools import islice

from edgetune.export.parity import check_file_parity
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import read_spec
from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.smooth import smooth_activations
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 4


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to the float file's."""
    source, path = context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    params, smoothed = context.params, context.scratch / "smoothed.onnx"
    examples = make_examples(context, read_spec(context.inputs["network"]), batch_size=32, augmentation="none")
    if "smoothquant" in params.get("repair", ()):
        calibration = examples.calibration(params["calibration_samples"])
        smooth_activations(source, smoothed, (ids for ids, _ in calibration))
    quantize_weights(
        smoothed if smoothed.exists() else source,
        path,
        per_channel=params["per_channel"],
        reduce_range=params["reduce_range"],
    )
    parity = check_file_parity(source, path, (ids for ids, _ in islice(examples.validation(), PARITY_BATCHES)))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
