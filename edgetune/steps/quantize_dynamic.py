"""Float ONNX -> ONNX with int8 weights and activations quantized as they come, checked against what rounding does."""

from itertools import islice

from edgetune.errors import ExportError
from edgetune.export.parity import check_rounded_parity, rounded_parity_problem
from edgetune.export.rounded import symmetric, write_rounded
from edgetune.hashing import canonical_json
from edgetune.quantization.dynamic_graph import LARGEST
from edgetune.steps.context import StepContext
from edgetune.steps.dynamic_bench import Encoder, dynamic_settings, open_encoder
from edgetune.steps.layer_notes import MOST, note_layers

PARITY_BATCHES = 4


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as notes, its parity and what each layer alone costs.

    Parity is how close its outputs are to those of the float file with rounding in it.

    Raises:
        ExportError: they are further apart than rounding explains.
    """
    settings = dynamic_settings(context)
    encoder = open_encoder(context, settings.keep_float)
    path, rounded, files = context.out / "model.onnx", context.scratch / "rounded.onnx", encoder.files
    files.write(settings, path)
    rounding = symmetric(LARGEST[files.reduce_range], per_channel=files.per_channel)
    write_rounded(files.start(settings), rounded, rounding, activations=True, kept=files.kept(settings))
    few = (ids for ids, _ in islice(encoder.examples.validation(), PARITY_BATCHES))
    parity = check_rounded_parity(files.source, rounded, path, few)
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    if (problem := rounded_parity_problem(parity)) is not None:
        raise ExportError(
            f"the dynamically quantized file is not the network: {problem}",
            hint='ONNX Runtime quantized it wrongly: set `[quantize] mode = "none"`, and report this network',
        )
    _note(encoder, context)


def _note(encoder: Encoder, context: StepContext) -> None:
    held_out = (ids for ids, _ in encoder.examples.few(MOST))  # of all lengths
    note_layers(encoder.graph, encoder.spec.example(), held_out, encoder.examples.few, context)
