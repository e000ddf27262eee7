"""What states say of a machine: each disturbance alone, and a summary that invents nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.measure.states import disturbances, summary


def told(*during, before=None, after=None):
    return {"before": before or {}, "during": list(during), "after": after or {}}


def clocks(*values):
    return [{"clock_mhz": [600, value]} for value in values]


@pytest.mark.parametrize(
    ("telemetry", "says"),
    [
        (told({"throttled_events": 5}, before={"throttled_events": 3}), "slowed for heat 2 times"),
        (told(before={"overcurrent_events": 1}, after={"overcurrent_events": 4}), "current or voltage 3 times"),
        (told({"throttle_flags": ["throttled now"]}, {"throttle_flags": []}), "the board says: throttled now"),
        (told({"governor": "powersave"}, before={"governor": "performance"}), "performance, then powersave"),
        (told(before={"power_mode": "MAXN"}, after={"power_mode": "15W"}), "the power mode changed: MAXN, then 15W"),
        (told(*clocks(*[2400] * 8, 1500, 1600)), "fell from 2400 to 1500 MHz, and was low in 2 of 10 looks"),
    ],
)
def test_each_alone_is_told(telemetry, says):
    (reason,) = disturbances(telemetry, busy=True)
    assert says in reason


@pytest.mark.parametrize(
    "telemetry",
    [
        told(),
        {"before": {}, "after": {}},  # kept before anybody looked meanwhile
        told({"throttled_events": "unknown", "clock_mhz": "unknown"}, before={"throttled_events": "unknown"}),
        told(*clocks(*[2400] * 19, 600)),  # one look in twenty
        told(*clocks(600, 2400, 600)),  # too few to tell
        told({"throttle_flags": ["throttled since boot"]}, before={"throttle_flags": ["throttled since boot"]}),
        told(*clocks(*[2500, 2400] * 10)),
    ],
)
def test_what_is_no_disturbance(telemetry):
    assert disturbances(telemetry, busy=True) == []


def test_an_idle_processor_may_clock_as_it_likes():
    telemetry = told(*clocks(*[2400, 600] * 10))
    assert disturbances(telemetry, busy=True) and not disturbances(telemetry, busy=False)


def test_a_summary_holds_what_was_told():
    looks = [
        {"clock_mhz": [600, 2400], "temperature_c": {"cpu": 50.0}, "power_w": {"VDD_IN": 4.0}, "gpu_clock_mhz": 306},
        {"clock_mhz": [1500, 1400], "temperature_c": {"cpu": 61.5}, "power_w": {"VDD_IN": 5.0}, "gpu_clock_mhz": 624},
        {"clock_mhz": "unknown", "temperature_c": "unknown"},
    ]
    assert summary(looks) == {
        "looks": 3, "clock_mhz": [1500, 2400], "gpu_clock_mhz": [306, 624], "temperature_max_c": {"cpu": 61.5},
        "power_mean_w": {"VDD_IN": 4.5},
    }  # fmt: skip
    assert summary([]) == {"looks": 0}


@given(st.lists(st.integers(100, 6000), min_size=5, max_size=60))
def test_a_fall_is_told_exactly_if_enough_looks_are_low(values):
    reasons = disturbances(told(*[{"clock_mhz": [value]} for value in values]), busy=True)
    if max(values) * 0.9 <= min(values):
        assert not reasons
    if reasons:
        assert min(values) < 0.9 * max(values)
