"""What selection says of a float network that is no better than one answer for everything."""

import numpy as np
import pytest

from edgetune.steps.select import _no_better_than_chance


def logits(right: float, labels: np.ndarray) -> np.ndarray:
    """Of two classes: this share answered rightly, the rest wrongly."""
    answers = np.where(np.arange(len(labels)) < right * len(labels), labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[answers]


@pytest.mark.parametrize(
    "validation, test, says",
    [
        (0.72, 0.50, "of the 60 test samples"),
        (0.50, 0.50, "of the 40 validation samples"),
        (0.50, 0.95, "of the 40 validation samples"),
        (0.95, 0.90, None),
    ],
)
def test_both_splits_are_looked_at(validation, test, says):
    found = {}
    for split, right, n in (("val", validation, 40), ("test", test, 60)):
        found[f"{split}_labels"] = np.arange(n) % 2
        found[f"{split}_logits"] = logits(right, found[f"{split}_labels"])
    told = _no_better_than_chance(found, ["no", "yes"])
    assert told == [] if says is None else says in told[0]
