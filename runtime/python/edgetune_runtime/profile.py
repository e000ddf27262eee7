"""Where an engine's time goes: what its library says each operator took, one inference after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune_runtime.errors import LibraryError
from edgetune_runtime.session import library

WARMUPS = 5
LEAST = 20  # inferences
MOST = 200
SECONDS = 0.5


def profile(
    model: Path, wanted: dict[str, Any], threads: int, feed: Mapping[str, Any], seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Every operator that runs, in order: its ``node`` and ``operator`` as the library names them, and its ``ms``.

    A session is made for the purpose, since profiling slows one down a little: what counts is how operators share the
    time. Milliseconds are the mean of the middle half of at least 20 inferences.

    Args:
        wanted: as of ``session.open_session``.

    Raises:
        LibraryError: the library is not installed, or does not tell.
    """
    module = library(wanted)
    if not hasattr(module, "open_profiled"):
        raise LibraryError(f"{module.TITLE} is not asked what each operator took")
    profiled = module.open_profiled(model, wanted, threads)
    for _ in range(WARMUPS):
        profiled.run(feed)
    ends, count = time.monotonic() + seconds, 0
    while count < LEAST or (count < MOST and time.monotonic() < ends):
        profiled.run(feed)
        count += 1
    return [
        {"node": node, "operator": operator, "ms": middle_half(ms[WARMUPS:] or ms)}
        for node, operator, ms in profiled.told()
    ]


def middle_half(values: list[float]) -> float:
    """The mean without the lowest and the highest quarter: counters of whole microseconds have too coarse a median."""
    ordered, quarter = sorted(values), len(values) // 4
    kept = ordered[quarter : len(ordered) - quarter]
    return sum(kept) / len(kept)
