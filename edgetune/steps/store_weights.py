"""Float ONNX -> the same with weights in 8 or 4 bits and arithmetic in float, checked against what rounding does."""

from itertools import islice

from edgetune.errors import ExportError
from edgetune.export.parity import check_rounded_parity, rounded_parity_problem
from edgetune.export.rounded import in_blocks, symmetric, write_rounded
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import read_spec
from edgetune.quantization.weight_only import BLOCK, store_weights
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 4
EIGHT_BITS = symmetric(127, per_channel=True)
ROUNDING = {"int8": EIGHT_BITS, "int4": in_blocks(BLOCK, otherwise=EIGHT_BITS)}


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to those of the float file with rounded weights.

    Raises:
        ExportError: they are further apart than rounding explains.
    """
    source, path = context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    kind, rounded = context.params["weights"], context.scratch / "rounded.onnx"
    store_weights(source, path, kind)
    write_rounded(source, rounded, ROUNDING[kind], activations=False)
    examples = make_examples(context, read_spec(context.inputs["network"]), batch_size=32, augmentation="none")
    few = (ids for ids, _ in islice(examples.validation(), PARITY_BATCHES))
    parity = check_rounded_parity(source, rounded, path, few)
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    if (problem := rounded_parity_problem(parity)) is not None:
        raise ExportError(
            f"the file with weights in {kind} is not the network: {problem}",
            hint=f'leave "{kind}" out of `[quantize] weights`, and report this network',
        )
