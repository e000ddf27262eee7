"""The comparison as Markdown, for the comment under a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.compare.words import check_line, class_rows, notes, rows, samples_line, short, title, verdict
from edgetune.report.markdown import escape, table

COLUMNS = ("engine", "accuracy", "change, points", "flips", "McNemar p", "median", "time, B / A", "size, B / A")
CLASS_COLUMNS = ("class", "samples", "recall, A", "recall, B", "change, points", "flips", "p, Holm")
MARKS = {"passed": "✅", "failed": "❌", "skipped": "⚪"}
NOTE_LENGTH, LABEL_LENGTH = 2000, 80  # GitHub takes comments of up to 65,536 characters
CLASSES = 10  # those that changed most; a comment is read, not searched


def render_markdown(data: Mapping[str, Any]) -> str:
    """The whole comparison as GitHub-flavoured Markdown; it names no sample."""
    parts = [f"## edgetune compare: {escape(verdict(data))}"]
    parts.append("\n".join(f"- {escape(line)}" for line in title(data).split("\n")))
    parts.append("\n".join(f"- {MARKS[check['outcome']]} {escape(check_line(check))}" for check in data["checks"]))
    for target in data["targets"]:
        parts += _target(target)
    parts += ["\n".join(f"- {escape(short(line, NOTE_LENGTH))}" for line in found)] if (found := notes(data)) else []
    return "\n\n".join(parts) + "\n"


def _target(target: Mapping[str, Any]) -> list[str]:
    found = rows(target)
    if not found:
        return []
    cells = [
        (
            f"**{escape(row.name)}** (ships)" if row.ships else escape(row.name),
            *(row.accuracy, row.change, row.flips, row.mcnemar_p, row.medians, row.latency, row.size),
        )
        for row in found
    ]
    parts = [
        f"### {escape(target['target'])}",
        table(COLUMNS, cells),
        escape(samples_line(target)),
        "Flips: test samples that became wrong (−) and right (+). Intervals are 95 %.",
    ]
    return parts + _classes(class_rows(target["ships"]))


def _classes(classes: Sequence[tuple[str, ...]]) -> list[str]:
    changed = [cells for cells in classes if cells[5] != "0"]
    if not changed:
        return []
    shown = [(escape(short(cells[0], LABEL_LENGTH)), *cells[1:]) for cells in changed[:CLASSES]]
    more = f", the {CLASSES} that lost most of {len(changed)} that changed" if len(changed) > CLASSES else ""
    return [f"Class by class, of what ships{more}:", table(CLASS_COLUMNS, shown)]
