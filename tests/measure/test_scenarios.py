"""Requests on a schedule, with real clocks: what waits is counted."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import InputError
from edgetune.measure.latency import RawLatency, measure_interleaved
from edgetune.measure.scenarios import Scenario, make_scenario, schedule


def on_schedule(rate, call, *, arrivals="constant", seed=0):
    scenario = Scenario(kind="fixed-rate", rate=rate, arrivals=arrivals)
    raw = RawLatency(runs_per_round=scenario.runs_per_turn)
    seconds = scenario.turn(call, raw, seed)
    return raw, seconds


def test_a_stall_is_charged_to_the_requests_that_waited_for_it():
    """One request stalls 200 ms at 100 requests/s: twenty wait. Timed from when it was sent, one would look slow."""
    calls = itertools.count()

    def call():
        if next(calls) == 5:  # the fifth timed one: the first is untimed
            time.sleep(0.2)

    raw, _ = on_schedule(100.0, call)
    slow = [value for value in raw.values if value > 10]
    assert 15 <= len(slow) <= 28
    assert raw.values[4] >= 200 and raw.values[5] >= raw.values[4] - 10.001


def test_requests_wait_for_their_time():
    started = []
    raw, seconds = on_schedule(400.0, lambda: started.append(time.perf_counter()))
    assert len(raw.values) == 32 and len(raw.warmup_values) == 1
    assert seconds >= 31 / 400
    assert started[-1] - started[0] >= 31 / 400 - 0.001
    assert min(raw.values) > 0


def test_an_engine_that_is_too_slow_falls_behind():
    raw, _ = on_schedule(1000.0, lambda: time.sleep(0.003))
    assert raw.values[-1] >= 2.0 * (len(raw.values) - 1)  # each takes 3 ms or more, one is due every 1 ms


@given(st.floats(0.1, 1e5), st.integers(0, 2**32 - 1))
def test_schedules_have_their_rate_and_begin_at_once(rate, seed):
    constant = list(itertools.islice(schedule(rate, "constant", seed), 11))
    assert constant == pytest.approx([i / rate for i in range(11)])
    poisson = list(itertools.islice(schedule(rate, "poisson", seed), 4000))
    assert poisson[0] == 0 and poisson == sorted(poisson)
    gaps = np.diff(poisson) * rate
    assert gaps.mean() == pytest.approx(1, abs=0.1)  # 6 standard errors
    assert gaps.std() == pytest.approx(1, abs=0.2)


def test_engines_of_a_round_get_the_same_schedule():
    scenario = Scenario(kind="fixed-rate", rate=500.0)
    seen = []

    def turn(call, raw, shared):
        seen.append(list(itertools.islice(schedule(500.0, "poisson", shared), 3)))
        return scenario.turn(call, raw, shared)

    raw = measure_interleaved(
        {"a": lambda: None, "b": lambda: None}, min_runs=64, min_seconds=0, max_seconds=5, seed=0,
        turn=turn, runs_per_turn=scenario.runs_per_turn,
    )  # fmt: skip
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert raw["a"].runs_per_round == 32 and len(raw["a"].values) == 64


def test_requests_of_a_turn_follow_the_rate():
    runs = [Scenario(kind="fixed-rate", rate=rate).runs_per_turn for rate in (0.5, 20, 5000)]
    assert runs == [8, 20, 32]


def test_options_make_a_scenario_or_an_error():
    assert make_scenario(None, "poisson", False).kind == "single-stream"
    assert make_scenario(None, "poisson", True).kind == "offline"
    assert make_scenario(30, "constant", False) == Scenario(kind="fixed-rate", rate=30, arrivals="constant")
    for rate in (0, -1, 1e9, float("nan")):
        with pytest.raises(InputError, match="must be above 0"):
            make_scenario(rate, "poisson", False)
    with pytest.raises(InputError, match="two scenarios"):
        make_scenario(30, "poisson", True)
