"""Many tiny models timed against each other: the measurement behind a table of layer latencies."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from typing import Any, Callable

from edgetune_runtime.session import open_session

ROUNDS = 5
RUNS = 5  # timed runs of a model in each round


def open_model(content: bytes, session: dict[str, Any], feed: Any) -> Callable[[], object]:
    """One inference, on one thread, of a model with the input ``x`` and the output ``y``.

    Args:
        session: as of ``open_session``; its threads do not count.

    Raises:
        Exception: what ``open_session`` raises.
    """
    run = open_session(content, session, 1).run
    inputs, outputs = {"x": feed}, ["y"]
    return lambda: run(outputs, inputs)


def fastest_medians(
    calls: Mapping[Any, Callable[[], object]], seed: int, progress: Callable[[int, int, str], None]
) -> dict[Any, float]:
    """Milliseconds of each call: its fastest visit's median. All are visited in random order, several times over."""
    order, rng = list(calls), random.Random(seed)
    fastest = dict.fromkeys(calls, float("inf"))
    for number in range(ROUNDS):
        rng.shuffle(order)
        for done, point in enumerate(order, 1):
            fastest[point] = min(fastest[point], _median_ms(calls[point]))
            if done % 50 == 0 or done == len(order):
                progress(number * len(order) + done, ROUNDS * len(order), f"{len(order)} layers")
    return fastest


def _median_ms(call: Callable[[], object]) -> float:
    call()
    values = []
    for _ in range(RUNS):
        started = time.perf_counter_ns()
        call()
        values.append((time.perf_counter_ns() - started) / 1e6)
    return statistics.median(values)
