"""What an engine is chosen by: its answers on the validation split, beside the float engine's."""

from typing import Any

from numpy.typing import NDArray

from edgetune.measure.statistics import largest_drop, samples_to_rule_out


def on_validation(
    before: NDArray[Any], after: NDArray[Any], *, max_accuracy_drop: float, confidence: float | None
) -> dict[str, Any]:
    """The ``selection`` of a candidate in the report.

    Args:
        before, after: bool [N], whether the float engine and the candidate are right on each sample.
        max_accuracy_drop: of the budget, in percentage points.
        confidence: with which a larger drop must be ruled out; None: nothing is said of it.
    """
    n = len(after)
    found: dict[str, Any] = {"split": "val", "accuracy": float(after.mean()), "n": n}
    if confidence is None:
        return found
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return {
        **found,
        "largest_drop": 100 * largest_drop(lost, won, n, confidence),
        "samples_needed": samples_to_rule_out(lost, won, n, margin=max_accuracy_drop / 100, confidence=confidence),
    }
