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
from edgetune.errors import ReportError
from edgetune.progress import Tick, silent
from edgetune.report.ours import refuse_what_is_not_ours
from edgetune.report.write import replace_file

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
    wanted_files = [path for path in files.values() if path is not None]
    refuse_what_is_not_ours(wanted_files, [run.folder for run in runs], _is_comparison)
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


def _is_comparison(head: str) -> bool:
    """Whether a file that begins so is one of the forms."""
    return any(mark in head for mark in MARKS)
