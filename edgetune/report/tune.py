"""The result of a search: ``tune.json``, ``tune.html``, and what the terminal shows."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from edgetune.measure.proportion import SIGNIFICANCE, binomial_tail
from edgetune.private import cleaned
from edgetune.report import numbers, view
from edgetune.report.terminal import ASCII, WIDTH, aligned
from edgetune.report.write import write_texts

MOST_ROWS = 10


def write_tune(data: view.Json, folder: Path) -> list[Path]:
    """Write ``tune.json`` and ``tune.html`` into ``folder`` (made if missing).

    Raises:
        ReportError: ``data`` does not follow the schema, or the folder cannot be written.
    """
    from edgetune.report.tune_html import render_tune_html
    from edgetune.report.validate import validate_tune

    data = cleaned(data)
    validate_tune(data)
    texts = {
        "tune.json": json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "tune.html": render_tune_html(data),
    }
    return write_texts(texts, folder)


def render_tune(data: view.Json) -> str:
    """The best trials, what won, and where it is, as plain text."""
    names = [dimension["name"] for dimension in data["space"]]
    rows = [_cells(trial, names, data) for trial in best_first(data)[:MOST_ROWS]]
    header = ("", "trial", "validation", *names)
    lines = table(header, rows)
    lines += [part for line in verdict(data) for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ")]
    return "\n".join(lines).translate(ASCII)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Rows under a header, in columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [aligned(row, widths, left=1) for row in (header, tuple("-" * width for width in widths), *rows)]


def best_first(data: view.Json) -> list[Any]:
    """Finished trials, the most accurate first; of equals the first."""
    finished = [trial for trial in data["trials"] if trial["state"] == "finished"]
    return sorted(finished, key=lambda trial: (-trial["accuracy"], trial["number"]))


def verdict(data: view.Json) -> list[str]:
    """What won over the recipe's own values, in words."""
    by_number = {trial["number"]: trial for trial in data["trials"]}
    best, own = by_number.get(data["best_trial"]), by_number.get(data["recipe_trial"])
    lines = [count(data)]
    if best is None:
        return [*lines, "No trial has come to its end yet."]
    if at_guessing(data):
        return [*lines, *_guessed(data, best["accuracy"]), caution(data)]
    if best is own:
        lines.append(f"Nothing was better than the recipe as it is: {numbers.percent(own['accuracy'])} on validation.")
    else:
        than = f", the recipe as it is has {numbers.percent(own['accuracy'])}" if own else ""
        lines.append(f"Trial {best['number']} won: {numbers.percent(best['accuracy'])} on validation{than}.")
        lines += [f"{row['name']}: {value(row['to'])}, the recipe has {value(row['from'])}" for row in data["changed"]]
    lines.append(caution(data))
    return lines


def at_guessing(data: view.Json) -> bool:
    """Whether the best trial may be no better than always naming the commonest class of validation.

    By a binomial test at 5 %, divided by the number of trials (Bonferroni): the best of many is lucky.
    """
    best = next((t["accuracy"] for t in data["trials"] if t["number"] == data["best_trial"]), None)
    guess, samples = data.get("guessing"), data["validation_samples"]
    if best is None or not guess or guess == 1:  # files of before do not tell it
        return False
    return binomial_tail(round(best * samples), samples, guess) >= SIGNIFICANCE / len(data["trials"])


def _guessed(data: view.Json, best: float) -> list[str]:
    """That nothing was learnt, as far as can be told, and what to do."""
    guess, samples = numbers.percent(data["guessing"]), data["validation_samples"]
    luck = "" if best <= data["guessing"] else f", which of {samples:,} samples may be luck"
    return [
        f"All trials are at guessing: always naming the commonest class is right for {guess} of validation, and the "
        f"best trial for {numbers.percent(best)}{luck}. There is nothing to choose between yet.",
        "Look for a learning rate with `edgetune lr-find`, give it more `epochs`, and look for wrong labels with "
        "`edgetune check --labels`; then search again.",
    ]


def caution(data: view.Json) -> str:
    """How fine validation can tell, and what choosing does to its accuracy."""
    samples = data["validation_samples"]
    return (
        f"Validation has {samples:,} samples: one is {numbers.percent(1 / max(1, samples), 2)}. The best of many is "
        "partly lucky: its accuracy on validation is too high, and `edgetune build` tells that of the test split."
    )


def value(item: Any) -> str:
    """A value of the recipe as text."""
    return f"{item:.3g}" if isinstance(item, float) else str(item)


def count(data: view.Json) -> str:
    """How many trials are wanted, and what became of those that were begun."""
    states = [trial["state"] for trial in data["trials"]]
    counts = {
        state: states.count(state) for state in ("finished", "pruned", "given up", "failed", "running", "waiting")
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{data['trials_wanted']} trials wanted: {told or 'none begun'}."


def _cells(trial: view.Json, names: list[str], data: view.Json) -> tuple[str, ...]:
    mark = "*" if trial["number"] == data["best_trial"] else ""
    number = f"{trial['number']} (recipe)" if trial["recipe"] else str(trial["number"])
    values = [value(trial["values"][name]) if name in trial["values"] else numbers.NONE for name in names]
    return (mark, number, numbers.percent(trial["accuracy"]), *values)
