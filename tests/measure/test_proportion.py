"""The score interval is SciPy's, and counts that make no proportion are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edgetune.errors import MeasureError
from edgetune.measure.proportion import binomial_tail, wilson_interval

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_is_scipys(count):
    expected = binomtest(*count).proportion_ci(method="wilson")
    assert wilson_interval(*count) == (
        pytest.approx(expected.low, abs=1e-12),
        pytest.approx(expected.high, abs=1e-12),
    )


@given(counts | st.tuples(st.integers(0, 5000), st.just(5000)), st.floats(0.0, 1.0))
def test_the_tail_is_scipys(count, share):
    expected = binomtest(*count, share, "greater").pvalue
    assert binomial_tail(*count, share) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_counts_that_are_no_proportion_are_refused():
    with pytest.raises(MeasureError, match="no proportion"):
        wilson_interval(3, 2)
    with pytest.raises(MeasureError, match="no proportion"):
        binomial_tail(1, 0, 0.5)
