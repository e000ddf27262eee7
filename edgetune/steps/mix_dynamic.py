"""Choose layers of a dynamic INT8 encoder for float, as ``steps.mix`` does of a calibrated network."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

from edgetune.quantization.trials import Settings
from edgetune.specs import SMOOTHQUANT
from edgetune.steps.context import StepContext
from edgetune.steps.dynamic_bench import DynamicBench, dynamic_settings, open_dynamic_bench, open_encoder
from edgetune.steps.mix import choose, gains_in, time_files
from edgetune.steps.texts import FEW_BATCH

GAIN_TEXTS = 128  # of validation; each layer is run on them


def run(context: StepContext) -> None:
    """Write ``settings.json`` with the layers in ``keep_float``, and as a note each layer's gain and cost, and trials.

    Smoothed or not goes by which is nearer to the float network with all layers in integers; gains are those without
    smoothing, which the graph does not know.
    """
    encoder = open_encoder(context)
    bench, settings = open_dynamic_bench(encoder, context), _smoothed_or_not(context)
    best = min(settings, key=lambda one: bench.outcome(one).divergence)
    few = list(islice(bench.batches(), GAIN_TEXTS // FEW_BATCH))
    reference = bench.reference[: len(few)]
    gains = gains_in(encoder.graph, few, reference, best.keep_float, context.tick)
    timed: dict[str, float] = {}
    if context.device is None:
        files = files_to_time(bench, best, list(gains), context)
        timed = time_files(files, list(gains), encoder.spec.example(), context)
    choose(bench, best, gains, timed, context)


def _smoothed_or_not(context: StepContext) -> list[Settings]:
    recipe = dynamic_settings(context)
    return [replace(recipe, repair=repair) for repair in ((), (SMOOTHQUANT,))]


def files_to_time(bench: DynamicBench, settings: Settings, names: list[str], context: StepContext) -> dict[str, Path]:
    """The file "0" as ``settings`` say, and "1", "2", ... with one more layer in float each."""
    files: dict[str, Path] = {}
    for number, name in enumerate(["", *names]):
        files[str(number)] = context.scratch / f"{number}.onnx"
        kept = (*settings.keep_float, *([name] if name else []))
        bench.files.write(replace(settings, keep_float=kept), files[str(number)])
        context.tick(number + 1, len(names) + 1, "engines with a layer in float")
    return files
