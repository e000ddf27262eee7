"""The latency protocol with real clocks and calls of known length."""

import gc
import random
import time
import weakref
from contextlib import contextmanager, nullcontext

import pytest
from edgetune_runtime import latency
from edgetune_runtime.errors import RuntimeProblem

from edgetune.measure.latency import (
    LOADS,
    MAX_WARMUPS,
    REWARM,
    RUNS_PER_TURN,
    WINDOW,
    measure_interleaved,
    measure_loads,
    warm_up,
)
from edgetune.measure.statistics import paired_speedup, speedup_over_loads


def spin(milliseconds):
    def call():
        end = time.perf_counter() + milliseconds / 1e3
        while time.perf_counter() < end:
            pass

    return call


def test_times_are_true_and_speedups_follow():
    raw = measure_interleaved(
        {"slow": spin(2), "fast": spin(1)}, min_runs=40, min_seconds=0, max_seconds=5, seed=0
    )  # fmt: skip
    assert list(raw) == ["slow", "fast"]
    assert len(raw["slow"].values) == len(raw["fast"].values) == 40
    assert all(value >= 2 for value in raw["slow"].values)
    result = paired_speedup(raw["slow"].values, raw["fast"].values, 0, runs_per_round=raw["slow"].runs_per_round)
    assert result["value"] > 1.2  # 2 on a machine that has nothing else to do


def test_rounds_hold_every_engine_once_in_changing_order():
    log = []
    calls = {name: (lambda name=name: log.append(name)) for name in "abc"}
    raw = measure_interleaved(calls, min_runs=80, min_seconds=0, max_seconds=10, seed=3)
    warm = sum(r.warmups for r in raw.values()) - 3 * 80 // RUNS_PER_TURN
    turn = RUNS_PER_TURN + 1
    rounds = [log[i : i + 3 * turn] for i in range(warm, len(log), 3 * turn)]
    assert len(rounds) == 80 // RUNS_PER_TURN
    orders = set()
    for one in rounds:
        turns = [one[i : i + turn] for i in range(0, len(one), turn)]
        assert all(len(set(t)) == 1 for t in turns)  # a turn is one engine's
        assert sorted(t[0] for t in turns) == ["a", "b", "c"]
        orders.add(tuple(t[0] for t in turns))
    assert len(orders) > 2


def test_min_seconds_and_max_seconds_bound_the_rounds():
    long = measure_interleaved({"a": spin(1)}, min_runs=4, min_seconds=0.2, max_seconds=9, seed=0)["a"]
    assert 0.2 <= sum(long.values) / 1e3 < 0.5
    short = measure_interleaved({"a": spin(5)}, min_runs=10_000, min_seconds=9, max_seconds=0.1, seed=0)["a"]
    assert RUNS_PER_TURN <= len(short.values) <= 24


def test_progress_ends_at_its_total_and_never_runs_back():
    ticks = []
    measure_interleaved(
        {"a": spin(0.1)}, min_runs=40, min_seconds=0, max_seconds=5, seed=0,
        progress=lambda done, total, note: ticks.append((done, total)),
    )  # fmt: skip
    assert ticks[-1] == (40, 40)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    assert all(done <= total for done, total in ticks)


class Clock:
    """Stands for ``time`` where a rule about times is tested and not the clock: it goes on when a call ``takes`` it."""

    def __init__(self):
        self.nanoseconds = 0

    def perf_counter_ns(self):
        return self.nanoseconds

    def perf_counter(self):
        return self.nanoseconds / 1e9

    def takes(self, milliseconds):
        self.nanoseconds += round(1e6 * milliseconds)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    return made


def test_warm_up_goes_on_while_the_engine_still_gets_faster(clock):
    lengths = iter([4.0 - 0.1 * i for i in range(30)] + [1.0] * 1000)
    raw = warm_up(lambda: clock.takes(next(lengths)), max_seconds=20)
    assert raw.steady
    assert 30 + WINDOW <= raw.warmups <= 30 + 6 * WINDOW


def test_warm_up_is_bounded_and_says_so(clock):
    slow = warm_up(lambda: clock.takes(20), max_seconds=0.05)
    assert (slow.steady, slow.warmups) == (False, REWARM)
    lengths = iter(0.02 * (1 + i // WINDOW % 2) for i in range(10_000))  # never settles
    restless = warm_up(lambda: clock.takes(next(lengths)), max_seconds=20)
    assert restless.warmups <= MAX_WARMUPS


def test_garbage_collection_is_off_while_timing_and_back_on_after():
    states = []
    measure_interleaved({"a": lambda: states.append(gc.isenabled())}, min_runs=4, min_seconds=0, max_seconds=1, seed=0)
    assert states and not any(states)
    assert gc.isenabled()

    def broken():
        raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        measure_interleaved({"a": broken}, min_runs=4, min_seconds=0, max_seconds=1, seed=0)
    assert gc.isenabled()


def test_what_a_load_leaves_is_collected_before_the_next_and_what_was_there_before_is_not_looked_at():
    gc.unfreeze()  # what conftest has frozen, of which much may be garbage by now
    gc.collect()
    left, alive, looked_at = [], [], []

    @contextmanager
    def loaded():
        alive.append(sum(one() is not None for one in left))
        engine = Machine(0)
        engine.itself = engine  # only a collection frees it
        left.append(weakref.ref(engine))
        yield lambda: looked_at.append(len(gc.get_objects()))

    there = len(gc.get_objects())
    measure_loads({"a": loaded}, min_runs=1, min_seconds=0, max_seconds=1, seed=0, loads=4)
    assert len(alive) == 4 and max(alive) <= 1 and max(looked_at) < there / 10
    assert gc.get_freeze_count() == 0 and gc.isenabled() and len(gc.get_objects()) > 0.9 * there

    gc.freeze()  # by a program of the user's, which keeps its own
    measure_loads({"a": loaded}, min_runs=1, min_seconds=0, max_seconds=1, seed=0, loads=1)
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_nothing_to_measure_is_an_error():
    with pytest.raises(RuntimeProblem, match="no engine"):
        measure_interleaved({}, min_runs=1, min_seconds=0, max_seconds=1, seed=0)


def test_every_engine_is_loaded_anew_for_each_load_and_given_back():
    log = []

    def opener(name):
        @contextmanager
        def load():
            log.append(f"open {name}")
            yield spin(0.2)
            log.append(f"close {name}")

        return load

    raw = measure_loads(
        {"a": opener("a"), "b": opener("b")}, loads=4, min_runs=64, min_seconds=0, max_seconds=5, seed=0
    )
    one, other = (["open a", "open b", "close b", "close a"], ["open b", "open a", "close a", "close b"])
    halves = [log[i : i + 4] for i in range(0, 16, 4)]
    assert sorted(halves[:2]) == sorted(halves[2:]) == sorted([one, other])  # who is first is even
    assert list(raw) == ["a", "b"]
    for one in raw.values():
        assert one.runs_by_load == [16] * 4 and len(one.values) == 64
        assert one.steady
        assert one.warmups >= 2 * WINDOW + 3 * REWARM + 64 // RUNS_PER_TURN


def test_every_load_has_a_round_even_without_time():
    raw = measure_loads({"a": lambda: contextmanager(lambda: iter([spin(3)]))()}, loads=3, min_runs=1000,
                        min_seconds=9, max_seconds=0.001, seed=0)["a"]  # fmt: skip
    assert raw.runs_by_load == [RUNS_PER_TURN] * 3
    assert not raw.steady


class Machine:
    """A clock, and a memory in which an engine is slower the more were loaded before it."""

    def __init__(self, seed, by_place=0.01, by_load=0.001, by_run=0.01):
        self.now, self.loaded, self.draw = 0, 0, random.Random(seed)
        self.by_place, self.by_load, self.by_run = by_place, by_load, by_run

    def perf_counter_ns(self):
        return self.now

    def perf_counter(self):
        return self.now / 1e9

    @contextmanager
    def load(self, milliseconds):
        pace = milliseconds * (1 + self.by_place * self.loaded + self.draw.gauss(0, self.by_load))
        self.loaded += 1

        def call():
            self.now += round(1e6 * pace * self.draw.lognormvariate(0, self.by_run))

        yield call
        self.loaded -= 1


def interval(monkeypatch, machine, seed, slower=1.0):
    monkeypatch.setattr(latency, "time", machine)
    for collecting in ("_no_garbage_collection", "_old_objects_left_alone"):
        monkeypatch.setattr(latency, collecting, nullcontext)  # a real one takes long, thousands of times
    openers = {"a": lambda: machine.load(1.0), "b": lambda: machine.load(slower), "c": lambda: machine.load(1.5)}
    raw = measure_loads(openers, min_runs=80, min_seconds=0, max_seconds=60, seed=seed)
    a, b = raw["a"], raw["b"]
    return speedup_over_loads(a.values, b.values, runs_per_round=a.runs_per_round, runs_by_load=a.runs_by_load)["ci95"]


def test_equal_engines_are_found_equal_where_the_place_in_memory_matters(monkeypatch):
    found = [interval(monkeypatch, Machine(seed), 1000 * seed) for seed in range(100)]
    assert sum(low <= 1 <= high for low, high in found) >= 94
    slow = [interval(monkeypatch, Machine(seed), 1000 * seed, slower=1.03) for seed in range(20)]
    assert sum(high < 1 for _, high in slow) >= 18


def test_loaded_always_in_one_order_they_would_not(monkeypatch):
    monkeypatch.setattr(latency, "loading_orders", lambda names, loads, seed: [names] * loads)
    found = [interval(monkeypatch, Machine(seed), 1000 * seed) for seed in range(20)]
    assert sum(low <= 1 <= high for low, high in found) <= 2


def test_without_such_a_memory_the_interval_holds_about_nineteen_times_in_twenty(monkeypatch):
    found = [interval(monkeypatch, Machine(seed, by_place=0.0), 1000 * seed) for seed in range(200)]
    assert 180 <= sum(low <= 1 <= high for low, high in found) <= 199


def test_every_second_order_is_the_reverse_of_the_one_before():
    orders = latency.loading_orders(list("abcd"), LOADS, 3)
    assert all(one == other[::-1] for one, other in zip(orders[::2], orders[1::2], strict=True))
    assert len({tuple(order) for order in orders}) > 4 and orders == latency.loading_orders(list("abcd"), LOADS, 3)
