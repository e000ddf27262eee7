"""An ONNX file of normalised floats -> the same of pixels, checked against the file and, in float, against torch."""

import math
from collections.abc import Iterator
from itertools import islice

import onnx
from edgetune_runtime.preprocessing import Preprocessing
from torch import Tensor

from edgetune.data.images import pixel_loader
from edgetune.data.preprocessing import make_preprocessing
from edgetune.errors import ExportError
from edgetune.export.parity import Parity, check_pixel_parity
from edgetune.export.pixels import take_pixels
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import load_checkpoint
from edgetune.steps.context import StepContext
from edgetune.steps.examples import EVAL_BATCH, decoded_images

PARITY_BATCHES = 2
PARITY = 1e-3  # of the outputs' spread, of float engines; INT8 ones may round otherwise, and their accuracy is measured


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs are to those before.

    INT8 files were held against their fake-quant graph when they were made; here they are held against themselves.
    """
    params, source, path = context.params, context.inputs["onnx"] / "model.onnx", context.out / "model.onnx"
    steps = Preprocessing(make_preprocessing(params["image_size"]))
    model = onnx.load(source)
    take_pixels(model, steps.factor, steps.offset)
    path.write_bytes(model.SerializeToString(deterministic=True))

    found = {"file": check_pixel_parity(source, path, steps.normalise, _pixels(context))}
    if params["precision"] == "fp32":
        _, network, _ = load_checkpoint(context.inputs["network"], context.base)
        found["torch"] = check_pixel_parity(network.eval(), path, steps.normalise, _pixels(context))
    context.note("parity.json").write_text(canonical_json(found), encoding="utf-8")
    for other, parity in found.items():
        _check(parity, "the file before" if other == "file" else "torch", params["precision"])


def _pixels(context: StepContext) -> Iterator[Tensor]:
    images = decoded_images(context, context.params["image_size"])
    return islice((pixels for pixels, _ in pixel_loader(images, "val", batch_size=EVAL_BATCH)), PARITY_BATCHES)


def _check(parity: Parity, other: str, precision: str) -> None:
    far = not parity["max_difference"] <= PARITY * max(1.0, parity["output_scale"])
    if not math.isfinite(parity["max_difference"]) or (far and precision == "fp32"):
        raise ExportError(
            f"the {precision} file that takes pixels differs from {other} by up to {parity['max_difference']:.2g}, "
            f"the outputs' spread is {parity['output_scale']:.2g}",
            hint='write `[bundle] input = "float32-nchw"`, and report this network',
        )
