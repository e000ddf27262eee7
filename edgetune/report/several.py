"""Several runs side by side: what each of them ships, and what it was measured to be."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.measure.noise import intervals_hold
from edgetune.report import numbers, view
from edgetune.report.markdown import escape, table
from edgetune.report.measured import measured_together
from edgetune.report.terminal import ASCII, aligned

HEADER = ("run", "target", "network", "ships", "accuracy", "change, points", "median", "speed-up", "size", "gates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What one run ships for one target."""

    number: int  # of the run as it was given, from 0
    run: str
    data: view.Json
    target: view.Json


def load_runs(folders: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """The reports of ``folders``, which hold one each."""
    return [(folder, json.loads((folder / "report.json").read_text(encoding="utf-8"))) for folder in folders]


def names(runs: Sequence[tuple[Path, view.Json]]) -> list[str]:
    """What the runs are called: their folders, those of one name numbered as they were given."""
    folders = [Path(os.path.abspath(folder)).name for folder, _ in runs]  # noqa: PTH100 - `..` has a name, a link its own
    seen: Counter[str] = Counter()
    found = []
    for name in folders:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if folders.count(name) > 1 else name)
    return found


def shipped(runs: Sequence[tuple[Path, view.Json]]) -> list[Shipped]:
    """One for each run and target; the fastest first within a target, what was not timed last."""
    found = [
        Shipped(number=number, run=name, data=data, target=target)
        for number, (name, (_, data)) in enumerate(zip(names(runs), runs, strict=True))
        for target in data["targets"]
    ]
    return sorted(found, key=lambda one: _order(one.target))


def rows(runs: Sequence[tuple[Path, view.Json]]) -> list[tuple[str, ...]]:
    """A row of text for each run and target, as in HEADER and in the order of ``shipped``.

    Accuracies of runs on other test samples, and times of other devices, do not compare: ``remarks`` tells.
    """
    return [_row(one) for one in shipped(runs)]


def remarks(runs: Sequence[tuple[Path, view.Json]]) -> list[str]:
    """What keeps these runs from being compared number by number."""
    found, lines = shipped(runs), []
    for target in sorted({one.target["target"] for one in found}):
        measured = [one for one in found if one.target["target"] == target and one.target.get("device")]
        if other := unlike(measured):
            lines.append(f"{target}: these were timed {other}; compare speed-ups, not milliseconds.")
        else:
            lines += _sessions(target, measured, [folder for folder, _ in runs])
        if noisy := [one.run for one in measured if one.target.get("noise")]:
            which = "all of these" if len(noisy) == len(measured) > 1 else ", ".join(noisy)
            was = "was" if len(noisy) == 1 else "were"
            hold = all(intervals_hold(one.target.get("noise") or ()) for one in measured)
            doubt = "intervals allow for it, medians do not" if hold else "neither medians nor intervals allow for it"
            lines.append(f"{target}: the machine was noisy when {which} {was} timed; {doubt}.")
    if other_tests(runs):
        lines.append("The test splits differ: accuracies are not of the same samples.")
    return lines


def _sessions(target: str, measured: Sequence[Shipped], folders: Sequence[Path]) -> Iterator[str]:
    """Which engines, of one device, were not timed in one session, and which are of one measurement."""
    groups = measured_together([folders[one.number] for one in measured], target)
    if len(groups) > 1:
        yield f"{target}: timed in different sessions; `edgetune bench` of the bundles times them in one."
    for places in groups:
        if len(places) > 1:
            which = ", ".join(measured[place].run for place in places)
            which = which if len(groups) > 1 else "both runs" if len(places) == 2 else "all of these"
            yield f"{target}: {which} show the same measurement; nothing was timed anew."


def unlike(measured: Sequence[Shipped]) -> str:
    """What was not the same when engines were timed, in words; empty if their milliseconds compare."""
    devices = [one.target["device"] for one in measured]
    for key in ("cpu", "model", "accelerators"):
        if len({str(device.get(key) or "unknown") for device in devices}) > 1:
            return "on different processors"
    if len({device.get("threads") for device in devices}) > 1:
        return "with different numbers of threads"
    return ""


def other_tests(runs: Sequence[tuple[Path, view.Json]]) -> bool:
    """Whether the test splits differ in how many samples they have of each class."""
    counts = (data["dataset"].get("counts", {}).get("test") for _, data in runs)
    return len({json.dumps(count, sort_keys=True) for count in counts}) > 1


def render_several(runs: Sequence[tuple[Path, view.Json]]) -> str:
    """The table and the remarks as plain text."""
    lines = [HEADER, *rows(runs)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [aligned(line, widths, left=4) for line in lines]
    parts = [text[0], "  ".join("-" * width for width in widths), *text[1:], *remarks(runs)]
    return "\n".join(parts).translate(ASCII)


def several_markdown(runs: Sequence[tuple[Path, view.Json]]) -> str:
    """The same as GitHub-flavoured Markdown."""
    cells = [tuple(escape(cell) for cell in row) for row in rows(runs)]
    return "\n".join([table(HEADER, cells, numeric_from=4), "", *(f"- {line}" for line in remarks(runs)), ""])


def as_data(runs: Sequence[tuple[Path, view.Json]]) -> list[dict[str, Any]]:
    """What ships in each run, as in its report, for programs."""
    return [
        {"run": str(folder), "target": target["target"], "status": target["status"], "ships": view.chosen(target)}
        for folder, data in runs
        for target in data["targets"]
    ]


def _order(target: view.Json) -> tuple[str, bool, float]:
    best = view.chosen(target)
    latency = (best or {}).get("latency_ms")
    return str(target["target"]), latency is None, latency["p50"] if latency else 0.0


def _row(one: Shipped) -> tuple[str, ...]:
    data, target = one.data, one.target
    shown = next((row for row in view.rows(target) if row.name == target["chosen"]), None)
    start = (one.run, str(target["target"]), str(data["recipe"]["model"]["name"]))
    if shown is None:
        return (*start, str(target["status"]), *[numbers.NONE] * 5, _gates(data, target))
    cells = (shown.accuracy, shown.change, shown.p50, shown.speedup, shown.size)
    return (*start, shown.name, *cells, _gates(data, target))


def _gates(data: view.Json, target: view.Json) -> str:
    passed = list(_passed(data, target))
    if not passed:
        return numbers.NONE
    return "passed" if all(passed) else f"{passed.count(False)} failed"


def _passed(data: view.Json, target: view.Json) -> Iterator[bool]:
    return (bool(gate["passed"]) for gate in data["gates"] if gate["target"] == target["target"])
