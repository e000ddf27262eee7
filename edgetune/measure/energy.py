"""Energy of an inference, from the counters of the processor's packages (RAPL, read from Linux's powercap tree).

The counters know no engines: engines take turns of half a second, in random order and several times over, and each
turn's joules are divided by its inferences. Whatever else runs, and the processor's idle power, is in it for all of
them alike.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from edgetune_runtime import sensors

from edgetune.measure.latency import Opener
from edgetune.progress import Tick, silent

TURNS = 5  # of each engine
SECONDS = 0.5  # of a turn: counters step about once a millisecond
UNREADABLE = "not readable here: there are no powercap counters of processor packages, or they are for root alone"


def readable() -> bool:
    """Whether this machine tells the energy of its processor."""
    return sensors.Rapl(sensors.POWERCAP).read() is not None


def energy_of(
    openers: Mapping[str, Opener], *, seed: int, progress: Tick = silent, seconds: float | None = None
) -> dict[str, list[float]] | None:
    """Joules of one inference of each engine, turn by turn; None: the machine does not tell."""
    if not readable():
        return None
    found: dict[str, list[float]] = {name: [] for name in openers}
    rng, order = random.Random(seed), list(openers)
    with ExitStack() as stack:
        calls = {name: stack.enter_context(opener()) for name, opener in openers.items()}
        for turn in range(TURNS):
            rng.shuffle(order)
            for name in order:
                calls[name]()
                counters, runs = sensors.Rapl(sensors.POWERCAP), 0
                ends = time.monotonic() + (SECONDS if seconds is None else seconds)
                while not runs or time.monotonic() < ends:
                    calls[name]()
                    runs += 1
                joules = counters.read()
                if joules is None:  # it was readable a moment ago
                    return None
                found[name].append(joules / runs)
            progress(turn + 1, TURNS, "energy")
    return found


def energy_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> float | None:
    """Joules of the candidate over the baseline's: geometric mean of the turns' ratios; None: a turn took none."""
    pairs = list(zip(baseline, candidate, strict=True))
    if not pairs or any(value <= 0 for pair in pairs for value in pair):
        return None
    return math.exp(sum(math.log(after / before) for before, after in pairs) / len(pairs))
