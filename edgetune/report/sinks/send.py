"""``NAME:ADDRESS`` -> the run is told there."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from edgetune.errors import EdgetuneError, InputError, ReportError
from edgetune.remote import told
from edgetune.report.sinks import SINKS
from edgetune.report.sinks.record import record_of


def check_sink(text: str) -> tuple[str, str]:
    """(name, address) of what the user wrote.

    Raises:
        InputError: no sink of that name, or no address.
    """
    name, colon, address = text.partition(":")
    if name not in SINKS or not colon or not address:
        raise InputError(
            f'"{name}" alone is no sink' if name in SINKS else f'"{name}" is no sink',
            hint=f"write NAME:ADDRESS, where NAME is one of: {', '.join(sorted(SINKS))}",
        )
    return name, address


def send(folder: Path, sinks: tuple[str, ...]) -> list[str]:
    """Tell the run in ``folder`` to each sink; returns a line for each: where it can be seen.

    Raises:
        InputError: as of ``check_sink`` (nothing was sent then), or a library that is missing. ReportError: a sink that
            does not take it; those before have it.
    """
    wanted = [check_sink(text) for text in sinks]
    record = record_of(json.loads((folder / "report.json").read_text(encoding="utf-8")), folder)
    lines = []
    for name, address in wanted:
        try:
            module = importlib.import_module(SINKS[name])
        except ImportError as error:
            raise InputError(
                f"the sink {name} needs a library that is missing: {error.name}", hint=f"pip install 'edgetune[{name}]'"
            ) from error
        try:
            lines.append(f"{name}: {module.send(record, address)}")
        except EdgetuneError:
            raise
        except Exception as error:
            raise ReportError(
                f"{name} did not take the run: {' '.join(str(error).split())[:300]}",
                hint=f"is {told(address)} the right place, and can it be written?",
            ) from error
    return lines
