"""How many runs a percentile needs before it may be reported. No imports but math's."""

from __future__ import annotations

import math

from edgetune.errors import MeasureError

CONFIDENCE = 0.99


def query_floor(q: float) -> int:
    """Fewest runs from which the percentile ``q`` (in [0, 100)) may be reported.

    The smallest n for which P(X <= 1) < 1 - 0.99 with X ~ Binomial(n, 1 - q/100): fewer runs can,
    with more than 1 % chance, hold no more than one value above the true percentile, and then the
    largest value seen says nothing about it. This is the early-stopping criterion of MLPerf
    Inference for one over-latency query (loadgen/early_stopping.cc in mlcommons/inference, where
    the binomial sum is written as a regularised beta function). It gives 64 for p90, 130 for p95,
    662 for p99 and 6,636 for p99.9. The median and below are reported from the first run on.

    Raises:
        MeasureError: if q is not in [0, 100).
    """
    if not 0 <= q < 100:
        raise MeasureError(f"percentile {q} is not in [0, 100)", hint="use for example 50, 90 or 99")
    if q <= 50:
        return 1
    over = 1 - q / 100
    low, high = 1, math.ceil(20 / over)  # the mean count of over-latency runs at `high` is 20
    while low < high:
        middle = (low + high) // 2
        if _at_most_one(middle, over) < 1 - CONFIDENCE:
            high = middle
        else:
            low = middle + 1
    return low


def unavailable(q: float) -> str:
    """What to print where ``percentile_or_none`` gave None: ``n/a (needs 662 runs)``."""
    return f"n/a (needs {query_floor(q):,} runs)"


def _at_most_one(n: int, p: float) -> float:
    """P(X <= 1) for X ~ Binomial(n, p)."""
    return float((1 - p) ** n + n * p * (1 - p) ** (n - 1))
