"""What ``edgetune compare`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from edgetune.compare.words import Row, check_line, notes, rows, samples_line, title, verdict
from edgetune.report.terminal import ASCII, WIDTH, aligned

HEADER = ("", "engine", "accuracy", "change, points", "flips", "time, B / A", "size, B / A")


def render_comparison(data: Mapping[str, Any]) -> str:
    """Tables, checks and notes as plain text."""
    blocks = [title(data)]
    blocks += [_target(target) for target in data["targets"] if target["ships"] or target["candidates"]]
    blocks.append("\n".join(part for check in data["checks"] for part in _wrapped(check_line(check))))
    blocks += ["\n".join(part for line in found for part in _wrapped(line))] if (found := notes(data)) else []
    blocks.append(verdict(data))
    return "\n\n".join(blocks).translate(ASCII)


def _target(target: Mapping[str, Any]) -> str:
    found = rows(target)
    lines = [HEADER, *(tuple(cell.translate(ASCII) for cell in _cells(row)) for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [aligned(line, widths, left=2) for line in lines]
    ships = [f"* {row.name}" for row in found if row.ships]
    legend = "    ".join([*ships, "flips: became wrong, became right; intervals are 95 %"])
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([target["target"], text[0], rule, *text[1:], legend, *_wrapped(samples_line(target))])


def _cells(row: Row) -> tuple[str, ...]:
    mark, name = ("*", "what ships") if row.ships else ("", row.name)
    return (mark, name, row.accuracy, row.change, row.flips, row.latency, row.size)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        line.translate(ASCII), WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )
