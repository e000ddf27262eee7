"""The scenarios of ``edgetune_runtime.scenarios``, from the command line's options."""

from __future__ import annotations

from edgetune_runtime.scenarios import FIXED_RATE, OFFLINE, SINGLE_STREAM, Scenario, schedule

from edgetune.errors import InputError

__all__ = ["ARRIVALS", "FIXED_RATE", "MAX_RATE", "OFFLINE", "SINGLE_STREAM", "Scenario", "make_scenario", "schedule"]

ARRIVALS = ("poisson", "constant")
MAX_RATE = 100_000.0


def make_scenario(rate: float | None, arrivals: str, offline: bool) -> Scenario:
    """The scenario that the command line's options ask for.

    Raises:
        InputError: a rate and offline together, or a rate out of range.
    """
    if rate is not None and offline:
        raise InputError("--rate and --offline are two scenarios", hint="measure them one after the other")
    if rate is None:
        return Scenario(kind=OFFLINE if offline else SINGLE_STREAM)
    if not 0 < rate <= MAX_RATE:
        raise InputError(f"--rate is {rate:g}; it must be above 0 and at most {MAX_RATE:,.0f} requests a second")
    return Scenario(kind=FIXED_RATE, rate=rate, arrivals=arrivals)
