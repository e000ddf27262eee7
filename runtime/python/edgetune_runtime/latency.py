"""The latency protocol: engines are timed in one session, interleaved, after a steady warm-up.

One round runs every engine once around, in a fresh random order. An engine's turn is one untimed
call and then ``RUNS_PER_TURN`` timed ones. The untimed call is there because the engine before has
just evicted this one's weights from the caches (and, with several threads, its workers may still
be spinning); a device that runs one engine never pays for that, so neither does the measurement.
Turns are short all the same, so that all engines of a round see the same clocks and temperature:
run i of one engine and run i of another belong to the same round, which ``paired_speedup`` needs.

The same file loaded twice is not equally fast: where its buffers happen to lie in memory makes a
difference that stays as long as the engine is loaded, and that more runs do not average out (Kalibera
and Jones 2013, "Rigorous benchmarking in reasonable time"). So a session opens every engine anew
``LOADS`` times, and ``speedup_over_loads`` takes its interval from how much the loads differ. Which memory
an engine gets depends on how many were loaded before it, in the same way every time: loaded always in the same
order, one of two equal engines is faster in all loads, and the interval cannot know. So the order changes.

Nothing is dropped: timed values and untimed ones are both kept, in order.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from edgetune_runtime.errors import RuntimeProblem

LOADS = 10
RUNS_PER_TURN = 4
WINDOW = 10  # warm-up calls whose medians are compared
STEADY_WITHIN = 0.02
MAX_WARMUPS = 500
WARMUP_SHARE = 0.25  # of max_seconds, at most
REWARM = 5  # untimed calls after loading again: the machine is warm, the engine's memory is not

Tick = Callable[[int, int, str], None]
"""Progress: (done, total, note)."""
Call = Callable[[], object]
"""One inference. A call with a method ``begin(number)`` is told which round begins: all engines of a round get the
same number, and may take their inputs by it."""
Opener = Callable[[], AbstractContextManager[Call]]
"""Loads an engine anew; leaving the context gives its memory back."""


@dataclass(frozen=True)
class RawLatency:
    """Raw times of one engine, in milliseconds and in order.

    ``values`` [rounds * runs_per_round] were timed, ``runs_by_load`` of them in each load;
    ``warmup_values`` are the calls before a load's first round and the first call of each turn.
    ``steady`` is False when the warm-up ran into its bound.
    """

    values: list[float] = field(default_factory=list)
    warmup_values: list[float] = field(default_factory=list)
    steady: bool = True
    runs_per_round: int = RUNS_PER_TURN
    runs_by_load: list[int] = field(default_factory=list)

    @property
    def warmups(self) -> int:
        """Number of calls that were not counted."""
        return len(self.warmup_values)


Turn = Callable[[Call, RawLatency, int], float]
"""One engine's turn of a round: (call, raw, a number that all turns of this round share) -> seconds spent timed.

It appends untimed calls to ``raw.warmup_values`` and ``raw.runs_per_round`` values to ``raw.values``.
"""


class VariedCall:
    """A Call that runs one of ``samples`` after the other, in an order that the number of the round chooses.

    Before the first round, which is the warm-up, always the one of middle size.
    """

    def __init__(self, run: Callable[[np.ndarray], object], samples: Sequence[np.ndarray]) -> None:
        self.run, self.samples = run, samples
        self.order: Iterator[int] = itertools.repeat(middle(samples))

    def begin(self, number: int) -> None:
        self.order = itertools.cycle(random.Random(number).sample(range(len(self.samples)), len(self.samples)))

    def __call__(self) -> object:
        return self.run(self.samples[next(self.order)])


def middle(samples: Sequence[np.ndarray]) -> int:
    """Which of ``samples`` is of middle size."""
    return sorted(range(len(samples)), key=lambda i: samples[i].size)[len(samples) // 2]


def silent(done: int, total: int, note: str) -> None:
    """The Tick of whoever does not want to watch."""


def measure_loads(
    openers: Mapping[str, Opener],
    *,
    min_runs: int,
    min_seconds: float,
    max_seconds: float,
    seed: int,
    loads: int = LOADS,
    turn: Turn | None = None,
    runs_per_turn: int = RUNS_PER_TURN,
    progress: Tick = silent,
) -> dict[str, RawLatency]:
    """Time every engine of ``openers`` (name -> how to load it) against the others, loading all anew ``loads`` times.

    Bounds are for all loads together; each load has its share, and one round at least. Only the first
    load warms up until it is steady. The order of loading is drawn, and every second one is the reverse of
    the one before: of any two engines each is loaded before the other equally often.

    Raises:
        RuntimeProblem: if there is nothing to measure. What an opener or a call raises goes through.
    """
    total = {name: RawLatency(runs_per_round=runs_per_turn) for name in openers}
    steady = dict.fromkeys(openers, True)
    with _old_objects_left_alone():
        for load, order in enumerate(loading_orders(list(openers), loads, seed)):
            with ExitStack() as stack:
                opened = {name: stack.enter_context(openers[name]()) for name in order}
                calls = {name: opened[name] for name in openers}
                part = measure_interleaved(
                    calls,
                    min_runs=math.ceil(min_runs / loads),
                    min_seconds=min_seconds / loads,
                    max_seconds=max_seconds / loads,
                    seed=seed + load,
                    warmup_seconds=WARMUP_SHARE * max_seconds if load == 0 else 0.0,
                    turn=turn,
                    runs_per_turn=runs_per_turn,
                )
            for name, raw in part.items():
                total[name].values.extend(raw.values)
                total[name].warmup_values.extend(raw.warmup_values)
                total[name].runs_by_load.append(len(raw.values))
                steady[name] &= raw.steady or load > 0
            progress(load + 1, loads, f"{len(openers)} engines interleaved, loaded {load + 1} times")
    return {name: replace(raw, steady=steady[name]) for name, raw in total.items()}


def loading_orders(names: list[str], loads: int, seed: int) -> list[list[str]]:
    """An order of ``names`` for each load: drawn, then reversed, then drawn again."""
    order, draw, orders = list(names), random.Random(f"{seed} loading"), []
    for load in range(loads):
        if load % 2:
            order = order[::-1]
        else:
            draw.shuffle(order)
        orders.append(list(order))
    return orders


def measure_interleaved(
    calls: Mapping[str, Call],
    *,
    min_runs: int,
    min_seconds: float,
    max_seconds: float,
    seed: int,
    warmup_seconds: float | None = None,
    turn: Turn | None = None,
    runs_per_turn: int = RUNS_PER_TURN,
    progress: Tick = silent,
) -> dict[str, RawLatency]:
    """Time every engine of ``calls`` (name -> one inference) against the others, as they are loaded.

    Rounds go on until each engine has ``min_runs`` timed runs and ``min_seconds`` of timed running,
    or one engine has used ``max_seconds``; all engines end with the same number of runs. Garbage
    collection is off meanwhile.

    Raises:
        RuntimeProblem: if there is nothing to measure. What a call raises goes through.
    """
    if not calls:
        raise RuntimeProblem("no engine to measure: at least one candidate must have been compiled")
    if warmup_seconds is None:
        warmup_seconds = WARMUP_SHARE * max_seconds
    turn = turn or back_to_back
    order = random.Random(seed)
    names = list(calls)
    spent = dict.fromkeys(names, 0.0)
    with _no_garbage_collection():
        raw = {
            name: replace(warm_up(calls[name], max_seconds=warmup_seconds), runs_per_round=runs_per_turn)
            for name in names
        }
        while True:
            order.shuffle(names)
            shared = order.getrandbits(32)
            for name in names:
                spent[name] += turn(calls[name], raw[name], shared)
            done, total = _advance(raw, spent, min_runs, min_seconds, max_seconds)
            progress(done, total, f"{len(calls)} engines interleaved")
            if done >= total:
                return {name: raw[name] for name in calls}


def warm_up(call: Call, *, max_seconds: float) -> RawLatency:
    """Run ``call`` untimed until it is steady.

    Steady: the median of the last 10 calls is within 2 % of the median of the 10 before. Bounded by
    500 calls and by ``max_seconds`` (five calls at least), after which ``steady`` is False.
    """
    times: list[float] = []
    deadline = time.perf_counter() + max_seconds
    while len(times) < MAX_WARMUPS and (len(times) < REWARM or time.perf_counter() < deadline):
        times.append(time_ms(call))
        if len(times) % WINDOW == 0 and len(times) >= 2 * WINDOW:
            before = statistics.median(times[-2 * WINDOW : -WINDOW])
            now = statistics.median(times[-WINDOW:])
            if abs(now - before) <= STEADY_WITHIN * before:
                return RawLatency(warmup_values=times)
    return RawLatency(warmup_values=times, steady=False)


def back_to_back(call: Call, raw: RawLatency, shared: int) -> float:
    """The usual turn: each run starts when the one before has ended."""
    begin = getattr(call, "begin", None)
    if begin is not None:
        begin(shared)
    raw.warmup_values.append(time_ms(call))
    values = [time_ms(call) for _ in range(raw.runs_per_round)]
    raw.values.extend(values)
    return sum(values) / 1e3


def time_ms(call: Call) -> float:
    """How long one call takes."""
    start = time.perf_counter_ns()
    call()
    return max(time.perf_counter_ns() - start, 1) / 1e6  # a clock tick at least: ratios need it


def _advance(
    raw: Mapping[str, RawLatency],
    spent: Mapping[str, float],
    min_runs: int,
    min_seconds: float,
    max_seconds: float,
) -> tuple[int, int]:
    """(runs done, runs expected in all), judged by the engine that needs longest."""
    runs = len(next(iter(raw.values())).values)
    seconds = list(spent.values())
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


@contextmanager
def _old_objects_left_alone() -> Iterator[None]:
    """The garbage collections before each load look at nothing that is there by now: where torch is imported,
    looking through all of its objects takes longer than the runs of a fast engine.
    """
    if gc.get_freeze_count():  # whoever froze them also thaws them
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
