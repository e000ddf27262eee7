"""What the states of a machine before, during and after a measurement say of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

LOW_CLOCK = 0.9  # of the clock that three of four looks are at or below
MAX_LOW = 0.1  # share of the looks
FEWEST_LOOKS = 5

State = Mapping[str, Any]


def disturbances(telemetry: Mapping[str, Any], *, busy: bool) -> list[str]:
    """Why the machine was not itself all the time, each as a sentence's end.

    - Counters rose: slowed for heat (x86), slowed for current or voltage (Jetson).
    - A throttle flag of a Raspberry Pi's came up, or was up at any look.
    - The governor, or a Jetson's power mode, changed.
    - The clock of the fastest core was under 90 % of the upper quartile in more than 10 % of the looks. Only where
      the processor was ``busy`` throughout: an idle one may clock as it likes.

    Args:
        telemetry: ``before``, ``after`` and (results of before that was kept have none) ``during``, as
            ``edgetune_runtime.watch.watched`` tells them.
    """
    during: Sequence[State] = telemetry.get("during", ())
    states = [telemetry["before"], *during, telemetry["after"]]
    reasons = []
    if heat := _rise(states, "throttled_events"):
        reasons.append(f"the processor was slowed for heat {heat} times")
    if current := _rise(states, "overcurrent_events"):
        reasons.append(f"the board slowed itself for current or voltage {current} times")
    old = set(states[0].get("throttle_flags", ()))
    flags = {flag for state in states for flag in state.get("throttle_flags", ())}
    if risen := sorted(flag for flag in flags if flag not in old or flag.endswith(" now")):
        reasons.append(f"the board says: {', '.join(risen)}")
    for key, name in (("governor", "the governor"), ("power_mode", "the power mode")):
        met = list(dict.fromkeys(str(state[key]) for state in states if key in state))
        if len(met) > 1:
            reasons.append(f"{name} changed: {', then '.join(met)}")
    return reasons + (_slowed(during) if busy else [])


def waiting(telemetry: Mapping[str, Any]) -> float | None:
    """Share of the time between the first state and the last in which some task waited for a processor.

    It is the kernel's pressure stall information (``some`` of /proc/pressure/cpu); None where that is not told.
    """
    first, last = telemetry["before"].get("cpu_pressure"), telemetry["after"].get("cpu_pressure")
    if not first or not last or last["at_s"] <= first["at_s"]:
        return None
    return float((last["waited_s"] - first["waited_s"]) / (last["at_s"] - first["at_s"]))


def summary(during: Sequence[State]) -> dict[str, Any]:
    """The looks at a machine in few numbers; only what was told.

    ``looks`` is how many there were. Of clocks (MHz, of the fastest core and of a Jetson's GPU) the lowest and the
    highest, of temperatures (degrees C) the highest, of powers (W) the mean.
    """
    found: dict[str, Any] = {"looks": len(during)}
    if clocks := _clocks(during):
        found["clock_mhz"] = [min(clocks), max(clocks)]
    if gpu := [state["gpu_clock_mhz"] for state in during if "gpu_clock_mhz" in state]:
        found["gpu_clock_mhz"] = [min(gpu), max(gpu)]
    if heat := _by_name(during, "temperature_c"):
        found["temperature_max_c"] = {name: max(values) for name, values in heat.items()}
    if power := _by_name(during, "power_w"):
        found["power_mean_w"] = {name: round(statistics.fmean(values), 3) for name, values in power.items()}
    return found


def _rise(states: Sequence[State], key: str) -> int:
    counts = [state[key] for state in states if isinstance(state.get(key), int)]
    return max(counts) - counts[0] if counts else 0


def _slowed(during: Sequence[State]) -> list[str]:
    clocks = _clocks(during)
    if len(clocks) < FEWEST_LOOKS:
        return []
    usual = statistics.quantiles(clocks, n=4, method="inclusive")[2]
    low = [clock for clock in clocks if clock < LOW_CLOCK * usual]
    if len(low) <= MAX_LOW * len(clocks):
        return []
    return [f"the clock fell from {usual:.0f} to {min(low):.0f} MHz, and was low in {len(low)} of {len(clocks)} looks"]


def _clocks(during: Sequence[State]) -> list[int]:
    """Of the fastest core at each look that told any."""
    return [max(state["clock_mhz"]) for state in during if isinstance(state.get("clock_mhz"), list)]


def _by_name(during: Sequence[State], key: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for state in during:
        told = state.get(key)
        for name, value in told.items() if isinstance(told, Mapping) else ():
            found.setdefault(name, []).append(value)
    return found
