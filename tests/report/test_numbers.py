"""Numbers as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.report import numbers as n


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (n.percent(0.9113), "91.1 %"),
        (n.percent(None), "–"),
        (n.points(-0.71), "−0.7"),
        (n.points(0.04), "0.0"),
        (n.points(-0.04), "0.0"),
        (n.points(0.25), "+0.2"),
        (n.change({"value": -0.7, "ci95": [-1.6, 0.2]}), "−0.7 (−1.6 to +0.2)"),
        (n.milliseconds(1.9234), "1.92 ms"),
        (n.milliseconds(0.1234), "0.123 ms"),
        (n.milliseconds(123.4), "123 ms"),
        (n.percentile({"p99": None}, 99), "n/a (needs 662 runs)"),
        (n.percentile({"p90": 12.34}, 90), "12.3 ms"),
        (n.percentile({"p99_9": 12.34}, 99.9), "12.3 ms"),
        (n.percentile({"p99_9": None}, 99.9), "n/a (needs 6,636 runs)"),
        (n.percentile({"p90": 12.34}, 99.9), "–"),
        (n.rate(15_363.2), "15,360"),
        (n.rate(9_999.7), "10,000"),
        (n.rate(333.33), "333.3"),
        (n.rate(0.4567), "0.457"),
        (n.percentile(None, 90), "–"),
        (n.speedup({"value": 1.634, "ci95": [1.6, 1.667]}), "1.63× (1.60 to 1.67)"),
        (n.size(2_900_000), "2.9 MB"),
        (n.size(913), "913 B"),
        (n.size(0), "0 B"),
        (n.size(140_000_000), "140 MB"),
        (n.amount(2_236_682), "2.24 M"),
        (n.probability(0.00001), "< 0.001"),
        (n.probability(0.0312), "0.031"),
        (n.duration(3.14), "3.1 s"),
        (n.duration(75), "1 min 15 s"),
        (n.duration(7300), "2 h 1 min"),
    ],
)
def test_formats(text, expected):
    assert text == expected


@given(st.integers(0, 10**12))
def test_sizes_read_back_within_five_percent(count):
    value, unit = n.size(count).split()
    assert float(value) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit] == pytest.approx(count, rel=0.05)
