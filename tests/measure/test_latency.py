"""The latency protocol with real clocks and calls of known length."""

import gc
import time
from contextlib import contextmanager

import pytest
from edgetune_runtime.errors import RuntimeProblem

from edgetune.measure.latency import (
    MAX_WARMUPS,
    REWARM,
    RUNS_PER_TURN,
    WINDOW,
    measure_interleaved,
    measure_loads,
    warm_up,
)
from edgetune.measure.statistics import paired_speedup


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


def test_warm_up_goes_on_while_the_engine_still_gets_faster():
    lengths = iter([4.0 - 0.1 * i for i in range(30)] + [1.0] * 1000)
    raw = warm_up(lambda: spin(next(lengths))(), max_seconds=20)
    assert raw.steady
    assert 30 + WINDOW <= raw.warmups <= 30 + 6 * WINDOW


def test_warm_up_is_bounded_and_says_so():
    slow = warm_up(spin(20), max_seconds=0.05)
    assert (slow.steady, slow.warmups) == (False, REWARM)
    lengths = iter(0.02 * (1 + i // WINDOW % 2) for i in range(10_000))  # never settles
    restless = warm_up(lambda: spin(next(lengths))(), max_seconds=20)
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
    assert log == ["open a", "open b", "close b", "close a"] * 4
    for one in raw.values():
        assert one.runs_by_load == [16] * 4 and len(one.values) == 64
        assert one.steady
        assert one.warmups >= 2 * WINDOW + 3 * REWARM + 64 // RUNS_PER_TURN


def test_every_load_has_a_round_even_without_time():
    raw = measure_loads({"a": lambda: contextmanager(lambda: iter([spin(3)]))()}, loads=3, min_runs=1000,
                        min_seconds=9, max_seconds=0.001, seed=0)["a"]  # fmt: skip
    assert raw.runs_by_load == [RUNS_PER_TURN] * 3
    assert not raw.steady
