"""How a comparison is told: text for the terminal, Markdown, HTML and JUnit alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetune.report import numbers

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pair of engines as text."""

    name: str
    ships: bool
    accuracy: str
    change: str
    flips: str
    mcnemar_p: str
    medians: str
    latency: str
    size: str


def title(data: Json) -> str:
    """Which runs these are."""
    return "\n".join(f"{which}: {_run(data[key])}" for which, key in (("A", "a"), ("B", "b")))


def _run(about: Json) -> str:
    made = about["created"]
    return f"{about['run']}, {made[:16].replace('T', ' ')} UTC" if made else str(about["run"])


def rows(target: Json) -> list[Row]:
    """What ships first, then each other candidate that both runs have."""
    ships = target["ships"]
    shipped = (ships["a"], ships["b"]) if ships else None
    others = [pair for pair in target["candidates"] if (pair["a"], pair["b"]) != shipped]
    return [*([_row(ships, True)] if ships else []), *(_row(pair, False) for pair in others)]


def _row(pair: Json, ships: bool) -> Row:
    accuracy, latency, size = pair["accuracy"], pair["latency"], pair["size"]
    change = accuracy["change"]
    paired = change is not None and accuracy["paired"]
    return Row(
        name=pair["a"] if pair["a"] == pair["b"] else f"{pair['a']} → {pair['b']}",
        ships=ships,
        accuracy=_from_to(numbers.percent(accuracy["a"]), numbers.percent(accuracy["b"])),
        change=numbers.change(change),
        flips=flips(change) if paired else numbers.NONE,
        mcnemar_p=numbers.probability(change["mcnemar_p"]) if paired else numbers.NONE,
        medians=_from_to(numbers.milliseconds(latency["a_ms"]), numbers.milliseconds(latency["b_ms"])),
        latency=numbers.speedup(latency["ratio"]),
        size=numbers.NONE if size["ratio"] is None else f"{size['ratio']:.2f}×",
    )


def flips(change: Json) -> str:
    """Samples that became wrong and right: −12 +2; 0 where there are none."""
    wrong, right = change["negative_flips"], change["positive_flips"]
    return f"{numbers.MINUS}{wrong} +{right}" if wrong or right else "0"


def _from_to(a: str, b: str) -> str:
    """ "91.1 %" and "90.6 %" -> "91.1 → 90.6 %": a unit that both have is said once."""
    (number, _, unit), other = a.partition(" "), b.partition(" ")[2]
    return f"{number if unit == other else a} → {b}"


def class_rows(pair: Json | None) -> list[tuple[str, ...]]:
    """Label, samples, both recalls, change, flips and p of each class, what lost most first."""
    classes = (pair or {"accuracy": {}})["accuracy"].get("per_class") or []
    return [
        (
            row["label"],
            str(row["n"]),
            numbers.percent(row["recall_a"]),
            numbers.percent(row["recall_b"]),
            numbers.points(row["value"]),
            flips(row),
            numbers.probability(row["p_holm"]),
        )
        for row in sorted(classes, key=lambda row: (row["value"], -row["negative_flips"], row["label"]))
    ]


def check_line(check: Json) -> str:
    """One check with its outcome."""
    outcome = check["outcome"].upper() if check["outcome"] == "failed" else check["outcome"]
    return f"{outcome}: {check['target']}: {check['name']}: {check['message']}"


def samples_line(target: Json) -> str:
    """On which samples the accuracies are."""
    found = target["samples"]
    if found["why_unpaired"]:
        return f"{target['target']}: {found['why_unpaired']}: only unpaired statistics are possible."
    parts = [f"{target['target']}: accuracies are of the {found['common']} test samples that both runs have"]
    for count, what in (
        (found["only_a"], "only A has"),
        (found["only_b"], "only B has"),
        (found["relabelled"], "have another label in B"),
    ):
        parts += [f"{count} that {what} are left out"] if count else []
    return "; ".join(parts) + "."


def notes(data: Json) -> list[str]:
    """What a reader must know beside the numbers and ``samples_line``."""
    lines = []
    for target in data["targets"]:
        lines += [
            f"{target['target']}: what {which.upper()} ships fails its own gate: {'; '.join(failed)}."
            for which, failed in target["failed_gates"].items()
            if failed
        ]
        if target["latency_not_comparable"]:
            lines.append(f"{target['target']}: latencies cannot be compared: {target['latency_not_comparable']}.")
        elif target["measured_once"]:
            lines.append(f"{target['target']}: both runs show the same measurement; nothing was timed anew for B.")
        else:
            lines += [
                f"{target['target']}: the machine was noisy when {which.upper()} was measured: {'; '.join(reasons)}."
                for which, reasons in target["noise"].items()
                if reasons
            ]
        lines += _resolvable(target, data["limits"]["max_accuracy_drop"])
        same = [pair["a"] for pair in target["candidates"] if pair["identical"]]
        if same:
            lines.append(f"{target['target']}: byte for byte the same engine in both runs: {', '.join(same)}.")
        for which in ("a", "b"):
            if only := target[f"only_{which}"]:
                lines.append(f"{target['target']}: only {which.upper()} has {', '.join(only)}.")
    changed = [f"{row['key']} {row['a']} → {row['b']}" for row in data["changed"]["recipe"]]
    versions = [f"{row['key']} {row['a']} → {row['b']}" for row in data["changed"]["versions"]]
    lines += [f"The recipes differ: {'; '.join(changed)}."] if changed else []
    lines += [f"The libraries differ: {'; '.join(versions)}."] if versions else []
    return lines


def _resolvable(target: Json, limit: float) -> list[str]:
    """A warning if the limit is finer than the test set: chance alone fails that check then."""
    change = target["ships"]["accuracy"]["change"] if target["ships"] else None
    if change is None or change.get("resolvable_drop", 0.0) <= limit:
        return []
    told = f"on {change['n']} samples a drop below {change['resolvable_drop']:.1f} points cannot be told from chance"
    return [f"{target['target']}: {told}: with --max-accuracy-drop {limit:g} a check fails by chance too."]


def short(text: str, most: int) -> str:
    """``text`` cut to ``most`` characters, and so marked."""
    return text if len(text) <= most else text[: most - 4] + " ..."


def verdict(data: Json) -> str:
    """The last line."""
    failed = sum(check["outcome"] == "failed" for check in data["checks"])
    skipped = sum(check["outcome"] == "skipped" for check in data["checks"])
    passed = len(data["checks"]) - failed - skipped
    counted = f"of {len(data['checks'])} checks {passed} passed, {failed} failed, {skipped} could not be made"
    return f"REGRESSION: {counted}" if data["regression"] else f"no regression: {counted}"
