"""The lines that end a build: a table of candidates per target, then one closing line for each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from edgetune.report import gate_words, numbers, view

WIDTH = 100
NAME_WIDTH = 22
MARKS = {"chosen": "*", "baseline": " ", "": " "}
HEADER = ("", "candidate", "accuracy", "change, points", "median", "speed-up", "size")
# Plain ASCII: a report must also print over a serial line and in a C locale.
ASCII = str.maketrans({"×": "x", "–": "-", numbers.MINUS: "-", "→": "->"})


def render_table(data: view.Json) -> str:
    """Tables and closing lines as plain text, no line longer than 100 characters."""
    blocks = [block for target in data["targets"] if (block := _table(target))]
    blocks.append("\n".join(line for target in data["targets"] for line in _closing(data, target)))
    if text := view.failed_training_line(data):
        blocks.append("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)))
    if text := view.cross_validation_line(data):
        blocks.append("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)))
    return "\n\n".join(blocks).translate(ASCII)


def _table(target: view.Json) -> str:
    rows = view.rows(target)
    if not rows:
        return ""
    lines = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [aligned(line, widths, left=2) for line in lines]
    rule = "  ".join("-" * width for width in widths)
    legend = ["* chosen    accuracy is that of the test split; intervals are 95 %"] if target["chosen"] else []
    return "\n".join([target["target"], text[0], rule, *text[1:], *legend])


def _cells(row: view.Row) -> tuple[str, ...]:
    name = row.name if len(row.name) <= NAME_WIDTH else row.name[: NAME_WIDTH - 2] + ".."
    if row.status != "measured":
        return ("", name, row.accuracy, row.change, row.status, numbers.NONE, row.size)
    return (MARKS[row.role], name, row.accuracy, row.change, row.p50, row.speedup, row.size)


def aligned(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    """The first ``left`` cells to the left, numbers to the right."""
    cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(cells).rstrip()


def _closing(data: view.Json, target: view.Json) -> list[str]:
    lines = textwrap.wrap(view.closing_line(target), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    best = view.chosen(target)
    in_float = best is not None and target["baseline"] is not None and best["name"] == target["baseline"]["name"]
    if best is not None:  # without one the closing line has the reason
        lines += _indented(" ".join(target.get("reason", [])))
    for line in view.failure_lines(target):
        lines += _indented(line)
    lines += _indented(view.calibrated_on_line(target))
    lines += _indented(view.noise_line(target))
    for line in target.get("builder", ()):
        lines += _indented(line)
    failed = [gate.text for gate in gate_words.gate_lines(data, target["target"]) if not gate.passed]
    if in_float or failed:
        lines += _indented(view.trade_off_line(target))
    for text in failed:
        lines += _indented(f"GATE FAILED: {text}")
    for hint in gate_words.gate_hints(data, target["target"]):
        lines += _indented(f"next: {hint}")
    return lines


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
