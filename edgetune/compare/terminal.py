"""What ``edgetune compare`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from edgetune.compare.words import check_line, notes, rows, title, verdict
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
    lines = [
        HEADER,
        *(
            ("*" if row.ships else "", row.name, row.accuracy, row.change, row.flips, row.latency, row.size)
            for row in rows(target)
        ),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [aligned(line, widths, left=2) for line in lines]
    legend = "* what ships    flips: became wrong, became right; intervals are 95 %"
    return "\n".join([target["target"], text[0], "  ".join("-" * width for width in widths), *text[1:], legend])


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
