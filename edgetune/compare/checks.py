"""What counts as a regression of the engine that ships. ``docs/compare.md`` says it for users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetune.errors import InputError
from edgetune.measure.proportion import SIGNIFICANCE
from edgetune.report import numbers

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What run b may be worse by than run a; ``strict``: a check that could not be made has failed.

    Raises:
        InputError: a limit that is no number from 0 on, which would let everything or nothing pass.
    """

    max_accuracy_drop: float = 1.0  # percentage points
    max_slowdown: float = 5.0  # percent
    max_size_growth: float | None = None  # percent; None: any
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("max_accuracy_drop", "max_slowdown", "max_size_growth"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}", hint="give a number from 0 on")


def check_pair(target: str, pair: Mapping[str, Any], limits: Limits) -> list[dict[str, Any]]:
    """The checks of a target from what changed between the engines that ship."""
    checks = [
        _proven_lower(pair["accuracy"]),
        _drop(pair["accuracy"], limits.max_accuracy_drop),
        _slower(pair["latency"], limits.max_slowdown),
    ]
    if limits.max_size_growth is not None:
        checks.append(_larger(pair["size"], limits.max_size_growth))
    return [{"target": target, **_strictly(check, limits.strict)} for check in checks]


def check_candidate(target: str, pair: Mapping[str, Any], limits: Limits) -> list[dict[str, Any]]:
    """The checks of one candidate of a target that ships nothing: of accuracy, since such engines are not timed."""
    checks = [_proven_lower(pair["accuracy"]), _drop(pair["accuracy"], limits.max_accuracy_drop)]
    named = ({**check, "name": f"{pair['a']}: {check['name']}"} for check in checks)
    return [{"target": target, **_strictly(check, limits.strict)} for check in named]


def not_compared(target: str, why: str, limits: Limits) -> list[dict[str, Any]]:
    """The one check of a target that is not in both runs, or that shipped no engine in one."""
    return [{"target": target, **_strictly(_check("compared", SKIPPED, why), limits.strict)}]


def _proven_lower(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Lower, and not by chance: McNemar's exact test where samples are paired, else Newcombe's interval."""
    name, change = "accuracy is not proven lower", accuracy["change"]
    if change is None:
        return _check(name, SKIPPED, accuracy["why"])
    told = f"{numbers.change(change)} points"
    if accuracy["paired"]:
        told += (
            f" on {change['n']} common samples, {change['negative_flips']} became wrong and "
            f"{change['positive_flips']} right, McNemar's p {numbers.probability(change['mcnemar_p'])}"
        )
        proven = change["value"] < 0 and change["mcnemar_p"] < SIGNIFICANCE
    else:
        told += f" between {accuracy['n_a']} and {accuracy['n_b']} other samples (Newcombe's interval)"
        proven = change["ci95"][1] < 0
    return _check(name, FAILED if proven else PASSED, told)


def _drop(accuracy: Mapping[str, Any], limit: float) -> dict[str, Any]:
    name, change = f"accuracy drops by at most {limit:g} point{'' if limit == 1 else 's'}", accuracy["change"]
    if change is None:
        return _check(name, SKIPPED, accuracy["why"])
    drop = -change["value"]
    outcome = FAILED if drop > limit + ROUNDING else PASSED
    return _check(name, outcome, f"the change is {numbers.points(change['value'])} points", drop, limit)


def _slower(latency: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """Slower than allowed, and not by chance: the whole interval of the ratio lies above the limit."""
    name, ratio = f"latency is not proven more than {limit:g} % higher", latency["ratio"]
    if ratio is None:
        return _check(name, SKIPPED, latency["why"])
    outcome = FAILED if ratio["ci95"][0] > 1 + limit / 100 + ROUNDING else PASSED
    told = f"{numbers.speedup(ratio)} the time, median {numbers.milliseconds(latency['a_ms'])} and then "
    told += numbers.milliseconds(latency["b_ms"])
    return _check(name, outcome, told, 100 * (ratio["value"] - 1), limit)


def _larger(size: Mapping[str, Any], limit: float) -> dict[str, Any]:
    name = f"size grows by at most {limit:g} %"
    if size["ratio"] is None:
        return _check(name, SKIPPED, "a size is not known")
    growth = 100 * (size["ratio"] - 1)
    told = f"{numbers.size(size['a'])} and then {numbers.size(size['b'])}"
    return _check(name, FAILED if growth > limit + ROUNDING else PASSED, told, growth, limit)


def _check(
    name: str, outcome: str, told: str, value: float | None = None, limit: float | None = None
) -> dict[str, Any]:
    return {"name": name, "outcome": outcome, "message": told, "value": value, "limit": limit}


def _strictly(check: dict[str, Any], strict: bool) -> dict[str, Any]:
    if not strict or check["outcome"] != SKIPPED:
        return check
    return {**check, "outcome": FAILED, "message": f"could not be checked, and --strict was given: {check['message']}"}
