"""The result of a search over compression: ``search.json``, ``search.html``, and what the terminal shows."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from edgetune.private import cleaned
from edgetune.report import numbers, view
from edgetune.report.terminal import ASCII, WIDTH
from edgetune.report.tune import MOST_ROWS, count, table, value
from edgetune.report.write import write_texts

__all__ = [
    "changes",
    "counts",
    "luck",
    "reasons",
    "remark",
    "render_search",
    "speedup",
    "value",
    "verdict",
    "write_search",
]


def write_search(data: view.Json, folder: Path) -> list[Path]:
    """Write ``search.json`` and ``search.html`` into ``folder`` (made if missing).

    Raises:
        ReportError: ``data`` does not follow the schema, or the folder cannot be written.
    """
    from edgetune.report.search_html import render_search_html
    from edgetune.report.validate import validate_search

    data = cleaned(data)
    validate_search(data)
    texts = {
        "search.json": json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "search.html": render_search_html(data),
    }
    return write_texts(texts, folder)


def render_search(data: view.Json) -> str:
    """The Pareto front, what was chosen, and why, as plain text."""
    by_number = {trial["number"]: trial for trial in data["trials"]}
    shown = [by_number[number] for number in data["front"]][:MOST_ROWS]
    names = [d["name"] for d in data["space"]]
    header = ("", "trial", "engine", "validation", "speed-up", "size", *(name.partition(".")[2] for name in names))
    lines = ["Pareto front:", *table(header, [_cells(trial, names, data) for trial in shown])]
    lines += [part for line in verdict(data) for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ")]
    return "\n".join(lines).translate(ASCII)


def verdict(data: view.Json) -> list[str]:
    """What was chosen, in words."""
    changed = [f"{name}: {told}" for name, told in changes(data)]
    return [*counts(data), *reasons(data), *changed, *luck(data)]


def counts(data: view.Json) -> list[str]:
    """What was tried, and how far it came."""
    volumes, lines = data["hypervolume"]["by_trial"], [count(data)]
    if stops := [trial["stopped"] for trial in data["trials"] if trial.get("stopped")]:
        left = sum(stop["epochs"] - stop["epoch"] for stop in stops)
        lines.append(
            f"Of these {len(stops)} {'was' if len(stops) == 1 else 'were'} stopped while recovering, which left out "
            f"{left:,} epoch{'s' if left > 1 else ''} of training."
        )
    if volumes:
        lines.append(f"Hypervolume: {volumes[-1]['value']:.4f}.")
    lines.append(f"The recipe's float engine has {numbers.percent(data['float']['accuracy'])} on validation.")
    return lines


def reasons(data: view.Json) -> list[str]:
    """Why the chosen trial is, in sentences."""
    return [sentence[0].upper() + sentence[1:] for sentence in data["reason"]]


def changes(data: view.Json) -> list[tuple[str, str]]:
    """(key, what the chosen trial's recipe says and what the recipe does) of what is another."""
    return [(row["name"], f"{_shown(row['to'])}, the recipe has {_shown(row['from'])}") for row in data["changed"]]


def luck(data: view.Json) -> list[str]:
    """How far to believe the choice; nothing where there is none."""
    if data["chosen_trial"] is None:
        return []
    samples = data["validation_samples"]
    return [
        f"Validation has {samples:,} samples: one is {numbers.percent(1 / max(1, samples), 2)}. The best of many "
        "is partly lucky, in accuracy and in speed; `edgetune build` times it again, and looks at the test split."
    ]


def remark(trial: view.Json) -> str:
    """What there is to say of a trial beside its numbers; empty if nothing."""
    again, lost = trial["again_after"], trial["workers_lost"]
    parts = [
        trial["reason"] or "",
        "the values of the recipe" if trial["recipe"] else "",
        f"again after trial {', '.join(map(str, again))}" if again else "",
        f"{lost} worker{'s' if lost > 1 else ''} lost" if lost else "",
    ]
    told = "; ".join(part for part in parts if part)
    return told[:1].upper() + told[1:]


def speedup(trial: view.Json) -> str:
    """With its interval."""
    found = trial["speedup"]
    if found is None:
        return numbers.NONE
    low, high = found["ci95"]
    return f"{found['value']:.2f}x ({low:.2f} to {high:.2f})"


def _shown(item: Any) -> str:
    if isinstance(item, list):
        return f"[{', '.join(value(one) for one in item)}]"
    return "nothing" if item is None else value(item)


def _cells(trial: view.Json, names: list[str], data: view.Json) -> tuple[str, ...]:
    mark = "*" if trial["number"] == data["chosen_trial"] else ""
    number = f"{trial['number']} (recipe)" if trial["recipe"] else str(trial["number"])
    values = [value(trial["values"][name]) if name in trial["values"] else numbers.NONE for name in names]
    told = (numbers.percent(trial["accuracy"]), speedup(trial), numbers.size(trial["size_bytes"]))
    return (mark, number, trial["engine"], *told, *values)
