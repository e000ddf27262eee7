"""Progress on stderr: a bar with rate and time left on a terminal, plain lines without one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgetune_runtime.visible import visible

LINE_EVERY_SECONDS = 15.0

Tick = Callable[[int, int, str], None]
"""What rooms call: (done, total, note)."""


def silent(done: int, total: int, note: str = "") -> None:
    """The Tick of whoever does not want to watch."""


Watch = Callable[[Sequence[Mapping[str, float]]], None]
"""What a training calls with all epochs so far: after each, and before it goes on from a checkpoint.

Raising ``errors.Abandoned`` ends it."""


def unwatched(history: Sequence[Mapping[str, float]]) -> None:
    """The Watch of whoever lets trainings run to their end."""


class Reporter(Protocol):
    """Where a build says what it is doing."""

    def say(self, text: str) -> None: ...
    def tick(self, title: str) -> Tick: ...
    def close(self) -> None: ...


class Quiet:
    """Says nothing: the library's default."""

    def say(self, text: str) -> None:
        """Drop the line."""

    def tick(self, title: str) -> Tick:
        """A Tick that does nothing."""
        return silent

    def close(self) -> None:
        """Nothing to end."""


class Console:
    """Bars (tqdm) on a terminal, a line now and then elsewhere; always on stderr."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._bar: object | None = None

    def say(self, text: str) -> None:
        """Print one line, ending a bar that is open."""
        self.close()
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints

    def tick(self, title: str) -> Tick:
        """A Tick that draws under ``title``."""
        return self._bar_tick(title) if self._terminal else self._line_tick(title)

    def close(self) -> None:
        """End the open bar, if any."""
        if self._bar is not None:
            self._bar.close()  # type: ignore[attr-defined]
            self._bar = None

    def _bar_tick(self, title: str) -> Tick:
        from tqdm import tqdm  # only a terminal needs it

        self.close()
        bar = tqdm(
            desc=f"  {visible(title)}", total=None, file=sys.stderr, leave=False, dynamic_ncols=True, mininterval=0.2
        )
        self._bar = bar

        def tick(done: int, total: int, note: str = "") -> None:
            bar.total = total
            bar.set_postfix_str(visible(note), refresh=False)
            bar.update(done - bar.n)

        return tick

    def _line_tick(self, title: str) -> Tick:
        started = last = time.monotonic()

        def tick(done: int, total: int, note: str = "") -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < LINE_EVERY_SECONDS or not done:
                return
            last = now
            rate = done / (now - started)
            # The first of a few is often the slowest by far.
            left = f", about {(total - done) / rate:.0f} s left" if total and (done > 1 or total < 3) else ""
            each = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
            self.say(f"  {title}: {done}{f'/{total}' if total else ''} ({each}{left}) {note}".rstrip())

        return tick
