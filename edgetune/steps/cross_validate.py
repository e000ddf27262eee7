"""What the folds say together."""

import json

from edgetune.hashing import canonical_json
from edgetune.measure.statistics import cross_validated
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``cross_validation.json``: mean, spread and interval of the accuracy, and that of each fold."""
    folds = [json.loads((path / "fold.json").read_text(encoding="utf-8")) for path in context.inputs.values()]
    folds.sort(key=lambda fold: fold["fold"])
    right, samples, trained_on = ([fold[key] for fold in folds] for key in ("right", "samples", "trained_on"))
    content = {
        **cross_validated(right, samples, trained_on),
        "folds": [{**fold, "accuracy": fold["right"] / fold["samples"]} for fold in folds],
    }
    (context.out / "cross_validation.json").write_text(canonical_json(content), encoding="utf-8")
