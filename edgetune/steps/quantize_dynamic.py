"""Float ONNX -> ONNX with int8 weights and activations quantized as they come, checked against what rounding does."""

from itertools import islice

from edgetune.errors import ExportError
from edgetune.export.parity import check_rounded_parity, rounded_parity_problem
from edgetune.export.rounded import symmetric, write_rounded
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import read_spec
from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.smooth import smooth_activations
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 4
LARGEST = {False: 127, True: 64}  # integer of a weight, by reduce_range


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to those of the float file with rounding in it.

    Raises:
        ExportError: they are further apart than rounding explains.
    """
    source, path = context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    params, smoothed, rounded = context.params, context.scratch / "smoothed.onnx", context.scratch / "rounded.onnx"
    examples = make_examples(context, read_spec(context.inputs["network"]), batch_size=32, augmentation="none")
    if "smoothquant" in params.get("repair", ()):
        calibration = examples.calibration(params["calibration_samples"])
        smooth_activations(source, smoothed, (ids for ids, _ in calibration))
    start = smoothed if smoothed.exists() else source
    per_channel, reduce_range = params["per_channel"], params["reduce_range"]
    quantize_weights(start, path, per_channel=per_channel, reduce_range=reduce_range)
    write_rounded(start, rounded, symmetric(LARGEST[reduce_range], per_channel=per_channel), activations=True)
    few = (ids for ids, _ in islice(examples.validation(), PARITY_BATCHES))
    parity = check_rounded_parity(source, rounded, path, few)
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    if (problem := rounded_parity_problem(parity)) is not None:
        raise ExportError(
            f"the dynamically quantized file is not the network: {problem}",
            hint='ONNX Runtime quantized it wrongly: set `[quantize] mode = "none"`, and report this network',
        )
