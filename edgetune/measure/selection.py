"""Which candidate ships: the fastest that is inside the budget on validation and proven faster than float."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import floor, log10
from typing import Any

BASELINE = "float"
MOST_DECIMALS = 9


def select(candidates: Sequence[Mapping[str, Any]], budget: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(name of the chosen candidate, the reasons in up to three sentences).

    ``candidates`` are those of the report; ``selection`` (validation) decides, ``metrics`` (test) are not looked at.
    Proven faster means that the 95 % interval of the speed-up over float lies above 1.
    """
    by_name = {str(candidate["name"]): candidate for candidate in candidates}
    baseline = by_name[BASELINE]
    others = [c for name, c in by_name.items() if name != BASELINE and c["status"] == "measured"]
    inside = [c for c in others if is_inside(baseline, c, budget)]
    proven = [c for c in inside if c["speedup"]["ci95"][0] > 1.0]
    fitting = [c for c in proven if not over_limits(c, budget)]
    missed = over_limits(baseline, budget) if "latency_ms" in baseline else []  # a search has its float engine untimed
    beyond = f", though nothing meets the budget: its {' and '.join(missed)}" if missed else ""
    if len(by_name) == 1:
        return BASELINE, [f"No compressed engine was asked for or tried, so the float engine ships{beyond}."]
    said = [_told(baseline, others, inside, proven, budget) + _too_few(baseline, others, inside, budget)]
    if not proven:
        return BASELINE, [*said, f"So the float engine ships{beyond}" + _closest(baseline, others, inside) + "."]
    if not fitting:
        limits = "; ".join(f"{c['name']}: {', '.join(over_limits(c, budget))}" for c in proven)
        said.append(f"None of these keeps to the other limits ({limits}).")
    best = max(fitting or proven, key=lambda c: float(c["speedup"]["value"]))
    low, high = best["speedup"]["ci95"]
    said.append(
        f"{best['name']} is the fastest of them: {best['speedup']['value']:.2f}x float "
        f"(95 % interval {low:.2f} to {high:.2f}) at {_change(baseline, best)} points on validation."
    )
    return str(best["name"]), said


def unmeasured(plain: Mapping[str, Any], status: str, reason: str) -> dict[str, Any]:
    """The report's candidate for an engine without a measurement; ``plain`` has name, precision and ratio."""
    nothing = (
        "selection",
        "metrics",
        "accuracy_change",
        "latency_ms",
        "speedup",
        "size_bytes",
        "peak_rss_bytes",
        "parameters",
        "macs",
    )
    return {**plain, "status": status, "reason": reason, **dict.fromkeys(nothing)}


def drop_points(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> float:
    """Accuracy lost against the baseline on validation, in percentage points."""
    return 100.0 * float(baseline["selection"]["accuracy"] - candidate["selection"]["accuracy"])


def is_inside(baseline: Mapping[str, Any], candidate: Mapping[str, Any], budget: Mapping[str, Any]) -> bool:
    """Whether the accuracy on validation is within the budget.

    With ``confidence``, if a larger loss is ruled out at that level (``statistics.largest_drop``), else by what was
    seen.
    """
    if budget.get("confidence") is None:
        lost = drop_points(baseline, candidate)
    else:
        lost = float(candidate["selection"]["largest_drop"])
    return lost <= float(budget["max_accuracy_drop"]) + 1e-9


def too_few_samples(baseline: Mapping[str, Any], candidate: Mapping[str, Any], budget: Mapping[str, Any]) -> bool:
    """Whether what was seen is within the budget, and only the split too small to be sure of it."""
    seen = drop_points(baseline, candidate) <= float(budget["max_accuracy_drop"]) + 1e-9
    return seen and not is_inside(baseline, candidate, budget)


def over_limits(candidate: Mapping[str, Any], budget: Mapping[str, Any]) -> list[str]:
    """Which of the latency and size limits a candidate breaks, in words."""
    broken = []
    latency, size = candidate["latency_ms"]["p50"], candidate["size_bytes"] / 1e6
    for value, limit, unit in ((latency, budget["max_latency_ms"], "ms"), (size, budget["max_size_mb"], "MB")):
        if limit is not None and value > limit:
            broken.append(f"{value:.{decimals(value, limit)}f} {unit} is over {plain(limit)} {unit}")
    return broken


def decimals(value: float, limit: float) -> int:
    """How many digits behind the point tell ``value`` and that it is not ``limit``: two, and more of small numbers."""
    digits = 2 if value == 0 else min(MOST_DECIMALS, max(2, 1 - floor(log10(abs(value)))))
    while digits < MOST_DECIMALS and value != limit and float(f"{value:.{digits}f}") == limit:
        digits += 1
    return digits


def plain(limit: float) -> str:
    """A limit as it was written, without an exponent: 2.5, 1.0, 0.00001."""
    return format(Decimal(repr(float(limit))), "f")


def trade_off(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the engines that no other beats in both accuracy on validation and speed-up, from accurate to fast."""
    points = [
        (
            str(c["name"]),
            float(c["selection"]["accuracy"]),
            1.0 if c["speedup"] is None else float(c["speedup"]["value"]),
        )
        for c in candidates
        if c["status"] == "measured"
    ]
    best = [
        point
        for point in points
        if not any(a >= point[1] and s >= point[2] and (a, s) != point[1:] for _, a, s in points)
    ]
    return [name for name, _, _ in sorted(best, key=lambda point: point[2])]


def gates(
    target: str, baseline: Mapping[str, Any], chosen: Mapping[str, Any], budget: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The budget's limits checked at the end, accuracy on the test split (a fraction there, points here)."""
    drop = 100.0 * (baseline["metrics"]["accuracy"] - chosen["metrics"]["accuracy"])
    values = {
        "max_accuracy_drop": drop,
        "max_latency_ms": chosen["latency_ms"]["p50"],
        "max_size_mb": chosen["size_bytes"] / 1e6,
    }
    return [
        {
            "name": name,
            "target": target,
            "limit": budget[name],
            "value": value,
            "passed": value <= budget[name] + 1e-9,
        }
        for name, value in values.items()
        if budget[name] is not None
    ]


def _told(
    baseline: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    inside: Sequence[Mapping[str, Any]],
    proven: Sequence[Mapping[str, Any]],
    budget: Mapping[str, Any],
) -> str:
    if not others:
        return "No compressed engine could be made and measured."
    n, limit = baseline["selection"]["n"], budget["max_accuracy_drop"]
    single, confidence = len(inside) == 1, budget.get("confidence")
    lose = "loses" if single else "lose"
    if confidence is not None:
        lose = f"{'is' if single else 'are'} shown, with {confidence:.0%} confidence, to lose"
    engines = "engine" if len(others) == 1 else "engines"
    counted = f"Of {len(others)} compressed {engines} {len(inside)} {lose} at most {limit:g} points"
    counted += f" on validation ({n} samples)"
    slow = [c["name"] for c in inside if c not in proven]
    if slow:
        proved = f"{len(proven)} of these {'is' if len(proven) == 1 else 'are'} proven"
        counted += f", and {proved} faster than float ({', '.join(slow)}: not proven)"
    elif inside:
        counted += ", all proven faster than float"
    return counted + "."


def _too_few(
    baseline: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
    inside: Sequence[Mapping[str, Any]],
    budget: Mapping[str, Any],
) -> str:
    """What more samples would be good for; empty where they would be for nothing."""
    unsure = [c for c in others if c not in inside and too_few_samples(baseline, c, budget)]
    if not unsure:
        return ""
    told = [f"{c['name']}: {wanted_samples(c['selection'])}" for c in unsure]
    return f" The split is too small to tell of {'; '.join(told)}."


def wanted_samples(selection: Mapping[str, Any]) -> str:
    """What is not ruled out, and how many samples would do."""
    needed = selection["samples_needed"]
    enough = "no number would do" if needed is None else f"about {needed:,} samples would do"
    return f"a loss of {float(selection['largest_drop']):.2f} points is not ruled out, {enough}"


def _change(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> str:
    return f"{0.0 - drop_points(baseline, candidate):+.2f}"  # and no -0.00


def _closest(
    baseline: Mapping[str, Any], others: Sequence[Mapping[str, Any]], inside: Sequence[Mapping[str, Any]]
) -> str:
    """The engine that comes nearest to shipping: the fastest of those accurate enough, or else the most accurate."""
    if not others:
        return ""
    if inside:
        best = max(inside, key=lambda c: float(c["speedup"]["ci95"][0]))
    else:
        best = min(others, key=lambda c: (drop_points(baseline, c), -float(c["speedup"]["value"])))
    return (
        f"; the closest to the budget is {best['name']}, {best['speedup']['value']:.2f}x float at "
        f"{_change(baseline, best)} points"
    )
