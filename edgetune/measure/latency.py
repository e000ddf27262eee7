"""The latency protocol, which devices run too: see ``edgetune_runtime.latency``."""

from edgetune_runtime.latency import (
    LOADS,
    MAX_WARMUPS,
    REWARM,
    RUNS_PER_TURN,
    WINDOW,
    Call,
    Opener,
    RawLatency,
    Turn,
    back_to_back,
    measure_interleaved,
    measure_loads,
    time_ms,
    warm_up,
)

__all__ = [
    "LOADS",
    "MAX_WARMUPS",
    "REWARM",
    "RUNS_PER_TURN",
    "WINDOW",
    "Call",
    "Opener",
    "RawLatency",
    "Turn",
    "back_to_back",
    "measure_interleaved",
    "measure_loads",
    "time_ms",
    "warm_up",
]
