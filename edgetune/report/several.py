"""Several runs side by side: what each of them ships, and what it was measured to be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgetune.report import numbers, view
from edgetune.report.markdown import escape, table
from edgetune.report.terminal import ASCII, aligned

HEADER = ("run", "target", "network", "ships", "accuracy", "change, points", "median", "speed-up", "size", "gates")


def load_runs(folders: Sequence[Path]) -> list[tuple[Path, view.Json]]:
    """The reports of ``folders``, which hold one each."""
    return [(folder, json.loads((folder / "report.json").read_text(encoding="utf-8"))) for folder in folders]


def rows(runs: Sequence[tuple[Path, view.Json]]) -> list[tuple[str, ...]]:
    """A row of text for each run and target, as in HEADER; the fastest first within a target, what was not timed last.

    Accuracies of runs on other test samples, and times of other devices, do not compare: ``remarks`` tells.
    """
    found = [(_order(target), _row(folder, data, target)) for folder, data in runs for target in data["targets"]]
    return [row for _, row in sorted(found, key=lambda one: one[0])]


def remarks(runs: Sequence[tuple[Path, view.Json]]) -> list[str]:
    """What keeps these runs from being compared number by number."""
    lines = []
    for target in sorted({target["target"] for _, data in runs for target in data["targets"]}):
        measured = [one for _, data in runs for one in data["targets"] if one["target"] == target and one.get("device")]
        if len({one["device"].get("cpu") for one in measured}) > 1:
            lines.append(f"{target}: these were timed on different processors; compare speed-ups, not milliseconds.")
        elif len(measured) > 1:
            lines.append(f"{target}: timed in different sessions; `edgetune bench` of the bundles times them in one.")
    tests = {json.dumps(data["dataset"].get("counts", {}).get("test"), sort_keys=True) for _, data in runs}
    if len(tests) > 1:
        lines.append("The test splits differ: accuracies are not of the same samples.")
    return lines


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


def _row(folder: Path, data: view.Json, target: view.Json) -> tuple[str, ...]:
    shown = next((row for row in view.rows(target) if row.name == target["chosen"]), None)
    start = (folder.name, str(target["target"]), str(data["recipe"]["model"]["name"]))
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
