"""Each reason to call a machine noisy, alone; and a quiet one."""

import numpy as np
import pytest

from edgetune.measure.latency import RawLatency
from edgetune.measure.noise import judge

CALM = {"before": {"throttled_events": 3}, "after": {"throttled_events": 3}}


def raw(values, **options):
    return {"engine": RawLatency(values=list(values), **options)}


def values(n=400):
    return np.random.default_rng(0).lognormal(0, 0.01, n)


def test_a_quiet_machine_is_called_quiet():
    unknown = {"before": {"throttled_events": "unknown"}, "after": {"throttled_events": "unknown"}}
    for telemetry in (CALM, unknown):
        assert judge(raw(values()), telemetry, 0.99, queued=False) == {"verdict": "quiet", "reasons": []}


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ((raw(values() * np.linspace(1, 1.2, 400)), CALM, 0.99), "engine: the second half was 10% slower"),
        ((raw(values() * np.linspace(1.2, 1, 400)), CALM, 0.99), "engine: the second half was 9% faster"),
        ((raw(np.where(np.arange(400) % 10, 1.0, 3.0)), CALM, 0.99), "10% of the runs took over 1.25 times"),
        ((raw(values(), steady=False), CALM, 0.99), "did not become steady"),
        ((raw(values()), CALM, 0.6), "other work took 40% of the processor"),
        ((raw(values()), {**CALM, "after": {"throttled_events": 5}}, None), "slowed for heat 2 times"),
        (
            (raw(values()), {**CALM, "after": {"throttle_flags": ["throttled since boot"]}}, None),
            "throttled since boot",
        ),
        ((raw(values()), {key: {"throttle_flags": ["under-voltage now"]} for key in CALM}, None), "under-voltage now"),
    ],
)
def test_each_reason_alone_makes_it_noisy(case, says):
    found = judge(*case, queued=False)
    assert found["verdict"] == "noisy"
    (reason,) = found["reasons"]
    assert says in reason


def test_an_old_throttle_flag_is_no_sign_of_noise():
    old = {key: {"throttle_flags": ["throttled since boot"]} for key in CALM}
    assert judge(raw(values()), old, 0.99, queued=False)["verdict"] == "quiet"


def pressed(waited_s):
    """The states around ten seconds in which work waited so long for a processor."""
    before, after = {"waited_s": 5.0, "at_s": 100.0}, {"waited_s": 5.0 + waited_s, "at_s": 110.0}
    return {"before": {"cpu_pressure": before}, "after": {"cpu_pressure": after}}


def test_at_a_fixed_rate_a_machine_is_noisy_where_work_waits_for_a_processor():
    found = judge(raw(values()), pressed(6.4), None, queued=True)
    assert found == {"verdict": "noisy", "reasons": ["work waited for a processor in 64% of the time"]}
    assert judge(raw(values()), pressed(6.4), 0.99, queued=False)["verdict"] == "quiet"  # its own share says more


def test_at_a_fixed_rate_nothing_is_called_quiet_that_the_kernel_does_not_tell():
    assert judge(raw(values()), CALM, None, queued=True) == {"verdict": "not judged", "reasons": []}
    assert judge(raw(values(), steady=False), CALM, None, queued=True)["verdict"] == "noisy"


def test_waiting_requests_are_no_sign_of_noise():
    one = raw(np.where(np.arange(400) % 3, 1.0, 3.0) * np.linspace(1, 3, 400))
    assert judge(one, pressed(0.2), None, queued=True)["verdict"] == "quiet"
    assert judge({"engine": RawLatency(values=[1.0])}, CALM, None, queued=False)["verdict"] == "quiet"
