"""Put the report on disk, in three forms, each there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgetune.errors import ReportError
from edgetune.report import view


def write_reports(data: view.Json, run_dir: Path) -> None:
    """Write ``report.json``, ``report.md`` and ``report.html`` into ``run_dir`` (made if missing).

    Raises:
        ReportError: if ``data`` does not follow the schema (nothing is written then), or if the
            folder cannot be written.
    """
    # Here, and not above: commands that write no report must not wait for jinja2 and jsonschema.
    from edgetune.report.html import render_html
    from edgetune.report.markdown import render_markdown
    from edgetune.report.validate import validate

    validate(data)
    texts = {
        "report.json": json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": render_markdown(data),
        "report.html": render_html(data),
    }
    write_texts(texts, run_dir)


def write_texts(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write {name: text} into ``folder`` (made if missing).

    Raises:
        ReportError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            replace_file(folder / name, text)
    except OSError as error:
        raise ReportError(
            f"cannot write the report to {folder}: {error.strerror or error}",
            hint="free some space or make the folder writable, then run the same command again",
        ) from error
    return [folder / name for name in texts]


def replace_file(path: Path, text: str) -> None:
    """Write under a temporary name beside ``path``, then take its place."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep colleagues from reading it
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
