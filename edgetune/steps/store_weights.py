"""Float ONNX -> the same with weights in 8 or 4 bits and arithmetic in float, checked against the float file."""

from itertools import islice

from edgetune.export.parity import check_file_parity
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import read_spec
from edgetune.quantization.weight_only import store_weights
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 4


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to the float file's."""
    source, path = context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    store_weights(source, path, context.params["weights"])
    examples = make_examples(context, read_spec(context.inputs["network"]), batch_size=32, augmentation="none")
    parity = check_file_parity(source, path, (ids for ids, _ in islice(examples.validation(), PARITY_BATCHES)))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
