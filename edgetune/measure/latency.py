"""The latency protocol: engines are timed in one session, interleaved, after a steady warm-up.

One round runs every engine once around, in a fresh random order. An engine's turn is one untimed
call and then ``RUNS_PER_TURN`` timed ones. The untimed call is there because the engine before has
just evicted this one's weights from the caches (and, with several threads, its workers may still
be spinning); a device that runs one engine never pays for that, so neither does the measurement.
Turns are short all the same, so that all engines of a round see the same clocks and temperature:
run i of one engine and run i of another belong to the same round, which ``paired_speedup`` needs.

Nothing is dropped: timed values and untimed ones are both kept, in order.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgetune.errors import MeasureError
from edgetune.progress import Tick, silent

RUNS_PER_TURN = 4
WINDOW = 10  # warm-up calls whose medians are compared
STEADY_WITHIN = 0.02
MAX_WARMUPS = 500
WARMUP_SHARE = 0.25  # of max_seconds, at most

Call = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLatency:
    """Raw times of one engine, in milliseconds and in order.

    ``values`` [rounds * runs_per_round] were timed; ``warmup_values`` are the calls before the first
    round and the first call of each turn. ``steady`` is False when the warm-up ran into its bound.
    """

    values: list[float] = field(default_factory=list)
    warmup_values: list[float] = field(default_factory=list)
    steady: bool = True
    runs_per_round: int = RUNS_PER_TURN

    @property
    def warmups(self) -> int:
        """Number of calls that were not counted."""
        return len(self.warmup_values)


def measure_interleaved(
    calls: Mapping[str, Call],
    *,
    min_runs: int,
    min_seconds: float,
    max_seconds: float,
    seed: int,
    progress: Tick = silent,
) -> dict[str, RawLatency]:
    """Time every engine of ``calls`` (name -> one inference) against the others.

    Rounds go on until each engine has ``min_runs`` timed runs and ``min_seconds`` of timed running,
    or one engine has used ``max_seconds``; all engines end with the same number of runs. Garbage
    collection is off meanwhile.

    Raises:
        MeasureError: if there is nothing to measure. What a call raises goes through.
    """
    if not calls:
        raise MeasureError("no engine to measure", hint="at least one candidate must have been compiled")
    order = random.Random(seed)
    names = list(calls)
    with _no_garbage_collection():
        raw = {name: warm_up(calls[name], max_seconds=WARMUP_SHARE * max_seconds) for name in names}
        while True:
            order.shuffle(names)
            for name in names:
                _turn(calls[name], raw[name])
            done, total = _advance(raw, min_runs, min_seconds, max_seconds)
            progress(done, total, f"{len(calls)} engines interleaved")
            if done >= total:
                return {name: raw[name] for name in calls}


def warm_up(call: Call, *, max_seconds: float) -> RawLatency:
    """Run ``call`` untimed until it is steady.

    Steady: the median of the last 10 calls is within 2 % of the median of the 10 before. Bounded by
    500 calls and by ``max_seconds`` (three calls at least), after which ``steady`` is False.
    """
    times: list[float] = []
    deadline = time.perf_counter() + max_seconds
    while len(times) < MAX_WARMUPS and (len(times) < 3 or time.perf_counter() < deadline):
        times.append(_time_ms(call))
        if len(times) % WINDOW == 0 and len(times) >= 2 * WINDOW:
            before = statistics.median(times[-2 * WINDOW : -WINDOW])
            now = statistics.median(times[-WINDOW:])
            if abs(now - before) <= STEADY_WITHIN * before:
                return RawLatency(warmup_values=times)
    return RawLatency(warmup_values=times, steady=False)


def _turn(call: Call, raw: RawLatency) -> None:
    raw.warmup_values.append(_time_ms(call))
    for _ in range(RUNS_PER_TURN):
        raw.values.append(_time_ms(call))


def _time_ms(call: Call) -> float:
    start = time.perf_counter_ns()
    call()
    return max(time.perf_counter_ns() - start, 1) / 1e6  # a clock tick at least: ratios need it


def _advance(raw: Mapping[str, RawLatency], min_runs: int, min_seconds: float, max_seconds: float) -> tuple[int, int]:
    """(runs done, runs expected in all), judged by the engine that needs longest."""
    runs = len(next(iter(raw.values())).values)
    seconds = [sum(r.values) / 1e3 for r in raw.values()]
    if max(seconds) >= max_seconds:
        return runs, runs
    share = min(runs / max(min_runs, 1), min(seconds) / min_seconds if min_seconds > 0 else math.inf)
    share = max(share, max(seconds) / max_seconds)
    return runs, runs if share >= 1 else math.ceil(runs / share)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
