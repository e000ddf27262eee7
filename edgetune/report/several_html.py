"""What several runs ship, as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from edgetune import __version__
from edgetune.private import cleaned
from edgetune.report import gate_words, numbers, view
from edgetune.report.html import json_for_script, plotting, render_page
from edgetune.report.machine import known_names
from edgetune.report.ours import refuse_what_is_not_ours
from edgetune.report.several import HEADER, Shipped, names, other_tests, remarks, several_markdown, shipped, unlike
from edgetune.report.write import write_texts

Runs = Sequence[tuple[Path, view.Json]]
MARK = "edgetune report --compare</title>"
LONGEST_HEADING = 60  # letters; more runs are counted


def write_several(runs: Runs, files: Mapping[str, Path | None]) -> None:
    """Write those of ``markdown`` and ``html`` that have a file.

    Raises:
        InputError: a file that is there and holds no comparison, lies in a run, or is given twice.
        ReportError: a file cannot be written.
    """
    wanted = {form: path for form, path in files.items() if path is not None}
    refuse_what_is_not_ours(list(wanted.values()), [folder for folder, _ in runs], _is_comparison)
    forms = {"markdown": several_markdown, "html": render_several_html}
    told = [(folder, cleaned(data)) for folder, data in runs]  # reports of older releases were not
    for form, path in wanted.items():
        write_texts({path.name: forms[form](told)}, path.absolute().parent)


def _is_comparison(head: str) -> bool:
    """Whether a file that begins so is such a table or page."""
    return MARK in head or head.startswith(f"| {' | '.join(HEADER)} |")


def render_several_html(runs: Runs) -> str:
    """The table of the terminal with more columns, a plot for each target. Everything from the user is escaped."""
    called, tests = names(runs), other_tests(runs)
    by_target = [(name, list(found)) for name, found in groupby(shipped(runs), lambda one: str(one.target["target"]))]
    by_target.sort(key=lambda pair: -sum(one.target["chosen"] is not None for one in pair[1]))  # most runs first
    plots = [_plot(found, mixed=tests or bool(unlike(_timed(found)))) for _, found in by_target]
    joined = ", ".join(called)
    return render_page(
        "several.html",
        data={"edgetune": __version__},
        view=view,
        numbers=numbers,
        joined=joined,
        heading=joined if len(joined) <= LONGEST_HEADING else f"{len(runs)} runs",
        remarks=remarks(runs),
        targets=[
            {"name": name, "rows": [_row(one) for one in found], "plot": plot}
            for (name, found), plot in zip(by_target, plots, strict=True)
        ],
        runs=[_made(name, data) for name, (_, data) in zip(called, runs, strict=True)],
        plots=json_for_script({"targets": plots}),
        **plotting(),
    )


def _timed(found: Sequence[Shipped]) -> list[Shipped]:
    return [one for one in found if one.target.get("device")]


def _row(one: Shipped) -> dict[str, Any]:
    """What the template shows of a run for a target; ``ships`` is None where nothing does."""
    target = one.target
    interval = view.accuracy_interval(target)
    row = next((row for row in view.rows(target) if row.name == target["chosen"]), None)
    return {
        "number": one.number + 1,
        "run": one.run,
        "status": target["status"],
        "ships": row,
        "accuracy": f"{row.accuracy} ({interval})" if row and interval else row.accuracy if row else numbers.NONE,
        "why": " ".join(target.get("reason") or []) or "no reason was recorded",
        "device": _device(target),
        "gates": gate_words.gate_lines(one.data, target["target"]),
    }


def _device(target: view.Json) -> str:
    """Model and processor, and with how many threads: ThinkCentre M75q, AMD EPYC 9R14, 1 thread."""
    device = target.get("device")
    if not device:
        return numbers.NONE
    known = known_names(device)
    threads = device.get("threads")
    if threads:
        known.append(f"{threads} thread{'s' if threads > 1 else ''}")
    return ", ".join(known) or "unknown"


def _made(name: str, data: view.Json) -> dict[str, str]:
    """What a run was made from."""
    recipe = data["recipe"]
    model, learned = recipe.get("model") or {}, recipe.get("data") or {}
    tests = (data["dataset"].get("counts") or {}).get("test")
    reads_text = str(model.get("name", "")).startswith("transformers/")
    size = learned.get("max_length" if reads_text else "image_size")
    return {
        "run": name,
        "network": str(model.get("name") or numbers.NONE),
        "data": str(learned.get("path") or numbers.NONE),
        "input": numbers.NONE if size is None else f"{size} {'tokens' if reads_text else 'px'}",
        "tests": numbers.NONE if tests is None else f"{sum(tests.values()) if isinstance(tests, Mapping) else tests:,}",
        "created": str(data.get("created") or "")[:16].replace("T", " ") or numbers.NONE,
        "edgetune": str(data["edgetune"]),
    }


def _plot(found: Sequence[Shipped], *, mixed: bool) -> dict[str, Any]:
    """Only what the figure needs; ``mixed``: not all of its numbers compare, so none of its marks is the best."""
    return {
        "accuracy_floor": None,
        "accuracy_drop": None,
        "latency_limit": None,
        "mixed": mixed,
        "points": [point for one in found if (point := _point(one)) is not None],
    }


def _point(one: Shipped) -> dict[str, Any] | None:
    """The mark of what a run ships, if that was timed."""
    best, shown = view.chosen(one.target), _row(one)
    row: view.Row | None = shown["ships"]
    if best is None or row is None or not best["latency_ms"] or not best["metrics"]:
        return None
    return {
        "name": one.run,
        "role": "",
        "precision": best["precision"],
        "pruned": row.pruning != "none",
        "accuracy": best["metrics"]["accuracy"],
        "bounds": view.accuracy_bounds(one.target),
        "latency": best["latency_ms"]["p50"],
        "bytes": best["size_bytes"],
        "hover": [
            ("ships", row.name),
            ("accuracy", shown["accuracy"]),
            ("change", f"{row.change} points" if best["accuracy_change"] else "float itself"),
            ("median", row.p50),
            ("speed-up", row.speedup),
            ("size", row.size),
            ("device", shown["device"]),
        ],
    }
