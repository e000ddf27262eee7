"""Put the comparison on disk, in as many forms as were asked for, each there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.compare.html import MAX_FLIPS, render_html
from edgetune.compare.junit import render_junit
from edgetune.compare.markdown import render_markdown
from edgetune.compare.runs import Run
from edgetune.compare.samples import find_samples, shown_first
from edgetune.errors import InputError, ReportError
from edgetune.progress import Tick, silent
from edgetune.report.write import replace_file

HEAD = 4096  # bytes of a file in which a mark must stand
MARKS = ('name="edgetune compare"', "## edgetune compare:", "edgetune compare</title>")


def write_forms(
    found: Mapping[str, Any],
    runs: tuple[Run, Run],
    files: Mapping[str, Path | None],
    data: Path | None = None,
    progress: Tick = silent,
) -> None:
    """Write those of ``junit``, ``markdown`` and ``html`` that have a file.

    Raises:
        InputError: a file that is there and holds no comparison, lies in a run, or is given twice.
        DataError: ``data`` is no dataset. ReportError: a file cannot be written.
    """
    _refuse_what_is_not_ours(runs, [path for path in files.values() if path is not None])
    texts: dict[Path, str] = {}
    if (path := files["junit"]) is not None:
        texts[path] = render_junit(found)
    if (path := files["markdown"]) is not None:
        texts[path] = render_markdown(found)
    if (path := files["html"]) is not None:
        wanted = [flip["id"] for flips in shown_first(found, MAX_FLIPS).values() for flip in flips]
        texts[path] = render_html(found, *find_samples(runs, list(dict.fromkeys(wanted)), data, progress))
    for path, text in texts.items():
        try:
            replace_file(path, text)
        except OSError as error:
            raise ReportError(f"cannot write {path}: {error.strerror}", hint="choose another place") from error


def _refuse_what_is_not_ours(runs: tuple[Run, Run], paths: list[Path]) -> None:
    """Nothing of the user's is overwritten: only comparisons are, and nothing inside of a run."""
    resolved = [path.resolve() for path in paths]
    for path, place in zip(paths, resolved, strict=True):
        if resolved.count(place) > 1:
            raise InputError(f"{path} is given for two forms", hint="give each a file of its own")
        if any(place.is_relative_to(run.folder.resolve()) for run in runs):
            raise InputError(f"{path} lies in a run that is compared", hint="write it somewhere else")
        if path.exists() and not _is_comparison(path):
            raise InputError(f"{path} exists and is no comparison; it is not overwritten", hint="give another name")


def _is_comparison(path: Path) -> bool:
    """Whether a file begins as one of the forms does, or is empty."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return False
    return not head.strip() or any(mark in head for mark in MARKS)
