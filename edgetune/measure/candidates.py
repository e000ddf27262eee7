"""A candidate's ``latency_ms`` in report.json, from its raw values."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from edgetune.errors import MeasureError
from edgetune.measure.statistics import percentile_or_none

BINS = 40
CURVE_POINTS = 48
FENCE = 6.0  # outliers lie more than 6 scaled median deviations above the median


class Histogram(TypedDict):
    """Counts between ``edges`` [bins + 1], in ms, and how many runs lie above the last edge."""

    edges: list[float]
    counts: list[int]
    outliers: int
    max: float


class LatencySummary(TypedDict):
    """Percentiles in ms (None below their query floor) of ``n`` runs."""

    p50: float
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    n: int
    histogram: Histogram
    curve: list[list[float]]


def latency_summary(values: ArrayLike) -> LatencySummary:
    """Percentiles, histogram and percentile curve of raw latencies [n] in ms.

    The histogram has equal bins from the fastest run to the outlier fence, the median plus six times
    the scaled median absolute deviation; runs above are counted as outliers, and stay in every
    percentile. The curve has pairs of 1 / (1 - p), from 1 to n, and the latency that the share p of
    the runs did not exceed, as HdrHistogram draws it (Tene 2013): each step to the right by a factor
    of ten is one nine more. The last one is the slowest run.

    Raises:
        MeasureError: without values.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    p50 = percentile_or_none(array, 50)
    if p50 is None:
        raise MeasureError("no latencies to summarise", hint="the measurement ended before its first round")
    return LatencySummary(
        p50=p50, p90=percentile_or_none(array, 90), p95=percentile_or_none(array, 95),
        p99=percentile_or_none(array, 99), p99_9=percentile_or_none(array, 99.9), n=array.size,
        histogram=_histogram(array), curve=_curve(array),
    )  # fmt: skip


def _histogram(array: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Histogram:
    median = float(np.median(array))
    deviation = 1.4826 * float(np.median(np.abs(array - median)))
    fence = min(float(array.max()), median + FENCE * max(deviation, 0.01 * median))
    counts, edges = np.histogram(array[array <= fence], bins=BINS, range=(float(array.min()), fence))
    return Histogram(
        edges=[float(edge) for edge in edges],
        counts=[int(count) for count in counts],
        outliers=int(np.sum(array > fence)),
        max=float(array.max()),
    )


def _curve(array: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[list[float]]:
    """Values that were measured; four digits are more than a plot shows."""
    places = np.unique(np.round(np.geomspace(1.0, array.size, CURVE_POINTS), 6))
    values = np.percentile(array, 100 * (1 - 1 / places), method="inverted_cdf")
    values[-1] = array.max()
    return [[float(f"{x:.5g}"), float(f"{ms:.5g}")] for x, ms in zip(places, values, strict=True)]
