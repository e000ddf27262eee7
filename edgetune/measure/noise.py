"""Was the machine quiet enough to believe the numbers? A documented rule, not a feeling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import numpy as np

from edgetune.measure.latency import RawLatency
from edgetune.measure.states import disturbances, waiting

MAX_DRIFT = 0.05
SLOW = 1.25  # times the median
MAX_SLOW = 0.05
MIN_CPU_SHARE = 0.95
_TAKEN = "other work took"
MAX_WAITING = 0.05  # share of the time in which anything on the machine waited for a processor


class Noise(TypedDict):
    """``verdict`` is quiet, noisy or not judged; ``reasons`` say why noisy, each with the engine or the reading."""

    verdict: str
    reasons: list[str]


def intervals_hold(reasons: Iterable[str]) -> bool:
    """Whether a session that was noisy for these ``reasons`` has ratios whose intervals hold the truth.

    Where other work took the processor, a run longer than a slice of its time has a wait in it and a short one seldom.
    """
    return not any(reason.startswith(_TAKEN) for reason in reasons)


def judge(
    raw: Mapping[str, RawLatency], telemetry: Mapping[str, Any], cpu_share: float | None, *, queued: bool
) -> Noise:
    """Noisy if any of these holds.

    - An engine's warm-up ended without becoming steady.
    - The median of the second half of an engine's runs differs from the first half's by more than 5 %.
    - More than 5 % of an engine's runs took over 1.25 times its median.
    - The process got less than 95 % of the processor while it was timing (None: not known).
    - The machine's states before, during and after say so: see ``states.disturbances``.

    With ``queued`` requests, waiting makes long latencies on a quiet machine too, and the processor may rest: drift,
    long runs, clocks and the process's own share are then not looked at. Noisy is then a machine on which anything
    waited for a processor in over 5 % of the time; where the kernel does not tell it, quiet is not to be said.
    """
    reasons = []
    waited = waiting(telemetry) if queued else None
    for name, one in raw.items():
        if not one.steady:
            reasons.append(f"{name}: the warm-up did not become steady")
        if queued:
            continue
        drift, slow = _drift(one.values), _slow(one.values)
        if abs(drift) > MAX_DRIFT:
            reasons.append(f"{name}: the second half was {abs(drift):.0%} {'slower' if drift > 0 else 'faster'}")
        if slow > MAX_SLOW:
            reasons.append(f"{name}: {slow:.0%} of the runs took over {SLOW:g} times the median")
    if cpu_share is not None and cpu_share < MIN_CPU_SHARE:
        reasons.append(f"{_TAKEN} {1 - cpu_share:.0%} of the processor's time")
    if waited is not None and waited > MAX_WAITING:
        reasons.append(f"work waited for a processor in {waited:.0%} of the time")
    reasons += disturbances(telemetry, busy=not queued)
    judged = waited is not None or not queued
    return Noise(verdict="noisy" if reasons else "quiet" if judged else "not judged", reasons=reasons)


def judge_measurement(found: Mapping[str, Any]) -> list[str]:
    """Why the machine was noisy, by the content of a ``latency.json``; empty: it was quiet.

    Raises:
        KeyError, TypeError, ValueError: the content is damaged.
    """
    raw = {str(name): RawLatency(**values) for name, values in found["engines"].items() if values["values"]}
    return judge(raw, found["telemetry"], None, queued=False)["reasons"]


def _drift(values: list[float]) -> float:
    half = len(values) // 2
    return float(np.median(values[half:]) / np.median(values[: max(half, 1)]) - 1)


def _slow(values: list[float]) -> float:
    return float(np.mean(np.asarray(values) > SLOW * np.median(values)))
