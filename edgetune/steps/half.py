"""Float32 ONNX -> float16 ONNX for backends that compute in the types of the file, checked against the float32 one."""

import math
from itertools import islice

import onnx

from edgetune.errors import ExportError
from edgetune.export.half import to_half
from edgetune.export.parity import check_file_parity
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import read_spec
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 2


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to those of the float32 file, in ONNX Runtime."""
    source, path = context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    model = onnx.load(source)
    to_half(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    spec = read_spec(context.inputs["network"])
    examples = make_examples(context, spec, batch_size=32, augmentation="none")
    parity = check_file_parity(source, path, islice((images for images, _ in examples.plain()), PARITY_BATCHES))
    if not math.isfinite(parity["max_difference"]):
        raise ExportError(
            "the network gives NaN or infinity in float16",
            hint="its activations leave float16's range; use a network with normalisation layers for this target",
        )
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
