"""Which fold each sample of train and val is in."""

from edgetune.data.folds import folds_of
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index

FOLDS = "folds.json"


def run(context: StepContext) -> None:
    """Write ``folds.json``: the fold of each sample, in the order of the index; null for those of test.

    Raises:
        DataError: a class with fewer different samples than folds.
    """
    folds = folds_of(load_index(context), context.params["folds"], context.seed)
    (context.out / FOLDS).write_text(canonical_json(list(folds)), encoding="utf-8")
