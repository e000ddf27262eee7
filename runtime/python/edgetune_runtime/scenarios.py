"""How requests reach an engine: one after the other, on a schedule, or in batches.

The names and their meaning are MLPerf Inference's (Reddi et al. 2020): single-stream, server (here
``fixed-rate``) and offline.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edgetune_runtime.latency import RUNS_PER_TURN, Call, RawLatency, Turn, back_to_back, time_ms

SINGLE_STREAM, FIXED_RATE, OFFLINE = "single-stream", "fixed-rate", "offline"
REQUESTS_PER_TURN = (8, 32)  # at least and at most; in between, those of a second
SPIN_SECONDS = 0.001  # sleeping wakes up late; the last millisecond is spent looking at the clock


@dataclass(frozen=True)
class Scenario:
    """``rate`` is in requests per second, for fixed-rate only."""

    kind: str = SINGLE_STREAM
    rate: float | None = None
    arrivals: str = "poisson"

    @property
    def runs_per_turn(self) -> int:
        """Timed runs of one engine in one round."""
        if self.rate is None:
            return RUNS_PER_TURN
        least, most = REQUESTS_PER_TURN
        return max(least, min(most, round(self.rate)))

    @property
    def turn(self) -> Turn:
        """What an engine does in its turn."""
        return self._on_schedule if self.kind == FIXED_RATE else back_to_back

    def _on_schedule(self, call: Call, raw: RawLatency, shared: int) -> float:
        """One untimed call, then requests on a schedule that every engine of the round gets.

        The latency of a request counts from when it was *due*: while the engine is behind, requests
        wait, and their waiting is part of what a user feels. Counting from when each was sent instead
        leaves that out ("coordinated omission", Tene 2013). The queue is empty when a turn begins.
        """
        assert self.rate is not None
        raw.warmup_values.append(time_ms(call))
        start = time.perf_counter() + SPIN_SECONDS
        for due in itertools.islice(schedule(self.rate, self.arrivals, shared), raw.runs_per_round):
            _wait_until(start + due)
            call()
            raw.values.append(1e3 * max(time.perf_counter() - (start + due), 1e-9))
        return time.perf_counter() - start


def schedule(rate: float, arrivals: str, seed: int) -> Iterator[float]:
    """When requests are due, in seconds from the start, without end.

    "poisson": gaps are drawn from an exponential distribution of mean 1 / rate (MLPerf's server
    scenario); "constant": all gaps are 1 / rate, as a camera's are.
    """
    rng, due = random.Random(seed), 0.0
    while True:
        yield due
        due += rng.expovariate(rate) if arrivals == "poisson" else 1 / rate


def _wait_until(moment: float) -> None:
    while (left := moment - time.perf_counter()) > 0:
        if left > SPIN_SECONDS:
            time.sleep(left - SPIN_SECONDS)
