"""Latency summaries: floors, and a histogram that loses no run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import MeasureError
from edgetune.measure.candidates import latency_summary


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=800))
def test_every_run_is_in_the_histogram_or_an_outlier(values):
    summary = latency_summary(values)
    histogram = summary["histogram"]
    assert sum(histogram["counts"]) + histogram["outliers"] == summary["n"] == len(values)
    assert histogram["max"] == max(values)
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert summary["p50"] == pytest.approx(np.median(values))
    assert (summary["p90"] is None) == (len(values) < 64)
    assert (summary["p95"] is None) == (len(values) < 130)
    assert (summary["p99"] is None) == (len(values) < 662)
    assert summary["p99_9"] is None


def test_outliers_are_labelled_and_stay_in_the_percentiles():
    values = [1.0 + 0.001 * (i % 10) for i in range(980)] + [50.0] * 20
    summary = latency_summary(values)
    assert summary["histogram"]["outliers"] == 20
    assert summary["histogram"]["edges"][-1] < 2
    assert summary["p99"] == 50.0


def test_p95_and_p99_9_are_values_that_were_measured():
    summary = latency_summary(range(1, 10_000))
    assert summary["p95"] == 9500 and summary["p99_9"] == 9990


def test_no_values_is_an_error():
    with pytest.raises(MeasureError, match="no latencies"):
        latency_summary([])


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=800))
def test_the_percentile_curve_rises_from_the_fastest_to_the_slowest_run(values):
    curve = latency_summary(values)["curve"]
    places, times = [x for x, _ in curve], [ms for _, ms in curve]
    assert places == sorted(places) and times == sorted(times)
    assert places[0] == 1 and places[-1] == pytest.approx(len(values), rel=1e-4)
    assert times[0] == pytest.approx(min(values), rel=1e-4)
    assert times[-1] == pytest.approx(max(values), rel=1e-4)
