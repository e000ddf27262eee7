"""Layers go back to float by what they give back for their time."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.quantization.mixed_precision import by_gain_per_ms


def test_free_layers_come_first_then_gain_per_millisecond_then_the_untimed():
    gains = {"free": 0.1, "free-and-better": 0.2, "cheap": 1.0, "dear": 5.0, "untimed": 9.0, "useless": 0.0}
    lost = {"free": -0.01, "free-and-better": 0.0, "cheap": 0.1, "dear": 1.0, "useless": -1.0}
    assert by_gain_per_ms(gains, lost) == ["free-and-better", "free", "cheap", "dear", "untimed"]


@given(st.dictionaries(st.text(max_size=3), st.tuples(st.floats(1e-6, 10), st.floats(1e-3, 5)), max_size=8))
def test_no_first_few_of_the_same_cost_give_back_more(layers):
    """The greedy order is the best for the cost that any first few of it have."""
    gains, lost = {n: g for n, (g, _) in layers.items()}, {n: t for n, (_, t) in layers.items()}
    order = by_gain_per_ms(gains, lost)
    assert sorted(order) == sorted(layers)
    rates = [gains[name] / lost[name] for name in order]
    assert rates == sorted(rates, reverse=True)
