"""What a rung came to, and why the climb ended, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.controller.decide import Result
from edgetune.measure.selection import over_limits, wanted_samples
from edgetune.report.numbers import duration


def verdict(found: Mapping[str, Any], result: Result, budget: Mapping[str, Any]) -> str:
    """Why an engine may ship or not, in a few words."""
    if result.failed:
        return f"failed: {found['reason']}"
    if not result.inside:
        limit = budget["max_accuracy_drop"]
        if result.drop_points <= limit + 1e-9:
            return f"the split is too small to tell: {wanted_samples(found['selection'])}"
        return f"loses {result.drop_points:.2f} points, the budget allows {limit:g}"
    if not result.faster:
        low, high = found["speedup"]["ci95"]
        return f"not proven faster than float (95 % interval {low:.2f} to {high:.2f})"
    if not result.fits:
        return ", ".join(over_limits(found, budget))
    return "inside the budget and proven faster"


def told(row: Mapping[str, Any]) -> str:
    """One line for whoever watches."""
    if row["accuracy"] is None:
        return str(row["verdict"])
    return f"{row['accuracy']:.1%} on validation, {row['speedup']['value']:.2f}x float: {row['verdict']}"


def ended(journal: Mapping[str, Any]) -> str:
    """How the climb went, in one sentence."""
    tried, left = journal["rungs"][1:], journal["not_tried"]
    total = len(tried) + len(left)
    begun = f"The controller tried {len(tried)} of {total} rungs in {duration(3600 * journal['hours'])} of work"
    if not left:
        return f"{begun}; none was left."
    if late := [rung for rung in left if str(rung["reason"]).startswith("`max_hours")]:
        names = ", ".join(rung["name"] for rung in late)
        return f"{begun}; {names} might have been tried, but {late[0]['reason']}."
    if tried and not any(row["ships"] for row in tried) and (nearest := _nearest(tried)) is not None:
        return (
            f"{begun}, and none keeps every limit of the budget; the nearest is {nearest['name']} "
            f"({nearest['verdict']}). The others were not tried because {left[-1]['reason']}."
        )
    return f"{begun} and ended because {left[-1]['reason']}."


def _nearest(tried: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The fastest engine of those that lose least; None: none was measured."""
    measured = [row for row in tried if row["accuracy"] is not None]
    return min(measured, key=lambda row: (max(0.0, row["drop_points"]), -row["speedup"]["value"]), default=None)
