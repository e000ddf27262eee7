"""Query floors against MLPerf's published numbers and its formula."""

import itertools

import pytest
from scipy.special import betainc

from edgetune.errors import MeasureError
from edgetune.measure.floors import query_floor, unavailable


@pytest.mark.parametrize(("q", "runs"), [(50, 1), (90, 64), (95, 130), (99, 662), (99.9, 6636)])
def test_query_floors_are_the_published_ones(q, runs):
    assert query_floor(q) == runs


@pytest.mark.parametrize("q", [75, 90, 95, 97, 99, 99.9])
def test_query_floor_is_mlperfs_beta_criterion(q):
    """loadgen: the least h with BetaRegularized[p, h, 1 + t] < 0.01, plus the t = 1 query over latency."""
    p = q / 100
    h = next(h for h in itertools.count(1) if betainc(h, 2, p) < 0.01)
    assert query_floor(q) == h + 1


@pytest.mark.parametrize("q", [-1, 100, 101])
def test_query_floor_refuses_what_is_no_percentile(q):
    with pytest.raises(MeasureError, match="percentile"):
        query_floor(q)


def test_unavailable_names_the_floor():
    assert unavailable(99) == "n/a (needs 662 runs)"
    assert unavailable(99.9) == "n/a (needs 6,636 runs)"
