"""Find the ranges and repairs that bring the INT8 network's outputs nearest to float's, tried on validation."""

from collections.abc import Iterator
from itertools import islice

from torch import Tensor

from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import load_checkpoint
from edgetune.quantization.sensitivity import all_logits, outcome
from edgetune.quantization.trials import Bench, Settings, try_changes
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext
from edgetune.steps.examples import EVAL_BATCH, make_examples
from edgetune.steps.quantize import settings_of


def run(context: StepContext) -> None:
    """Write ``settings.json``, which a quantization takes in place of the recipe's, and as a note what was tried.

    Repairs are tried from quick to slow, and no more of them than the accuracy budget takes.
    """
    bench = open_bench(context)
    floating = outcome(bench.network, bench.batches, bench.reference)
    least = floating.accuracy - context.params["max_accuracy_drop"] / 100
    trials = try_changes(bench, settings_of(context), [], context.tick, enough=least - 1e-9)
    best = [trial for trial in trials if trial.helped][-1]
    write_settings(context, best.settings)
    told = {"trials": [trial.to_json() for trial in trials], "kept": best.change}
    context.note("trials.json").write_text(canonical_json(told), encoding="utf-8")


def write_settings(context: StepContext, settings: Settings) -> None:
    """As ``steps.quantize.settings_of`` reads them."""
    plain = {
        "calibration": settings.calibration,
        "repair": list(settings.repair),
        "keep_float": list(settings.keep_float),
    }
    (context.out / "settings.json").write_text(canonical_json(plain), encoding="utf-8")


def open_bench(context: StepContext) -> Bench:
    """The step's float network on at most ``samples`` validation samples (whole batches), to try settings on."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    network = network.eval().requires_grad_(False)
    examples = make_examples(context, spec, batch_size=EVAL_BATCH, augmentation="none")

    def calibration() -> Iterator[Tensor]:
        return (images for images, _ in examples.calibration(params["calibration_samples"]))

    def labelled() -> Iterator[tuple[Tensor, Tensor]]:
        return islice(iter(examples.validation()), max(1, -(-params["samples"] // EVAL_BATCH)))

    return Bench(
        network=network,
        example=spec.example(),
        scheme=QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])}),
        calibration=calibration,
        batches=labelled,
        reference=all_logits(network, labelled),
    )
