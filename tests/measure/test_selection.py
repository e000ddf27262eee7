"""What ships: the fastest inside the budget and proven, judged on validation and never on test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.measure.selection import decimals, gates, over_limits, plain, select, trade_off

BUDGET = {"max_accuracy_drop": 1.0, "max_latency_ms": None, "max_size_mb": None}


def candidate(name, val, speedup, low, *, test=0.9, ms=1.0, size=1_000_000, status="measured"):
    return {
        "name": name,
        "status": status,
        "selection": {"split": "val", "accuracy": val, "n": 100},
        "metrics": {"accuracy": test},
        "speedup": {"value": speedup, "ci95": [low, speedup + 0.1]} if speedup else None,
        "latency_ms": {"p50": ms},
        "size_bytes": size,
    }


FLOAT = candidate("float", 0.90, None, None)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([candidate("int8", 0.895, 1.6, 1.5), candidate("pruned", 0.88, 2.5, 2.4)], "int8"),
        ([candidate("int8", 0.895, 1.6, 1.5), candidate("pruned", 0.891, 2.5, 2.4)], "pruned"),
        ([candidate("int8", 0.90, 1.02, 0.99)], "float"),
        ([candidate("int8", 0.88, 2.0, 1.9)], "float"),
        ([candidate("int8", 0.89, 2.0, 1.9)], "int8"),
        ([candidate("int8", 0.95, 9.0, 8.9, status="failed")], "float"),
        ([], "float"),
        ([candidate("int8", 0.90, 1.6, 1.5, test=0.1)], "int8"),
    ],
)
def test_choice(others, chosen):
    name, reasons = select([FLOAT, *others], BUDGET)
    assert name == chosen
    assert 1 <= len(reasons) <= 3 and all(reason.endswith(".") for reason in reasons)


def test_where_nothing_was_asked_for_nothing_has_failed():
    assert select([FLOAT], BUDGET)[1] == ["No compressed engine was asked for or tried, so the float engine ships."]
    failed = candidate("int8", 0.95, 9.0, 8.9, status="failed")
    assert "could be made and measured" in select([FLOAT, failed], BUDGET)[1][0]


def test_an_engine_that_keeps_to_the_other_limits_comes_first():
    small = candidate("small", 0.90, 1.5, 1.4, size=500_000)
    fast = candidate("fast", 0.90, 2.0, 1.9, size=2_000_000)
    assert select([FLOAT, small, fast], BUDGET)[0] == "fast"
    assert select([FLOAT, small, fast], BUDGET | {"max_size_mb": 1.0})[0] == "small"
    name, reasons = select([FLOAT, small, fast], BUDGET | {"max_size_mb": 0.1})
    assert name == "fast" and "is over 0.1 MB" in reasons[1]


def test_gates_look_at_the_test_split():
    chosen = candidate("int8", 0.90, 2.0, 1.9, test=0.87, ms=3.0)
    budget = BUDGET | {"max_latency_ms": 5.0}
    found = {gate["name"]: gate for gate in gates("x86-cpu", FLOAT, chosen, budget)}
    assert found["max_accuracy_drop"]["value"] == pytest.approx(3.0) and not found["max_accuracy_drop"]["passed"]
    assert found["max_latency_ms"]["passed"] and "max_size_mb" not in found


def test_with_confidence_a_larger_drop_must_be_ruled_out():
    budget = BUDGET | {"confidence": 0.95}
    sure = candidate("sure", 0.898, 1.6, 1.5)
    sure["selection"] |= {"largest_drop": 0.9, "samples_needed": 100}
    unsure = candidate("unsure", 0.899, 2.6, 2.5)
    unsure["selection"] |= {"largest_drop": 1.7, "samples_needed": 410}
    assert select([FLOAT, unsure], BUDGET)[0] == "unsure"
    name, reasons = select([FLOAT, sure, unsure], budget)
    assert name == "sure" and "with 95% confidence" in reasons[0]
    assert "unsure: a loss of 1.70 points is not ruled out, about 410 samples would do" in reasons[0]
    hopeless = candidate("hopeless", 0.80, 2.6, 2.5)
    hopeless["selection"] |= {"largest_drop": 12.0, "samples_needed": None}
    assert "too small" not in select([FLOAT, hopeless], budget)[1][0]


def test_the_closest_to_the_budget_is_named_when_float_ships():
    far, near = candidate("far", 0.80, 3.0, 2.9), candidate("near", 0.87, 2.0, 1.9)
    assert "the closest to the budget is near, 2.00x float at -3.00 points" in select([FLOAT, far, near], BUDGET)[1][-1]
    slow = candidate("slow", 0.90, 1.01, 0.99)
    assert "closest to the budget is slow" in select([FLOAT, far, slow], BUDGET)[1][-1]


@pytest.mark.parametrize(
    ("value", "limit", "told"),
    [(0.06, 1e-5, "0.060 ms is over 0.00001 ms"), (12.3, 2.0, "12.30 ms is over 2.0 ms"),
     (1.004, 1.0, "1.004 ms is over 1.0 ms"), (0.0012345, 0.001, "0.0012 ms is over 0.001 ms")],
)  # fmt: skip
def test_a_limit_and_what_breaks_it_are_told_apart(value, limit, told):
    slow = candidate("int8", 0.90, 1.6, 1.5, ms=value)
    assert over_limits(slow, BUDGET | {"max_latency_ms": limit}) == [told]


@given(st.floats(1e-8, 1e6), st.floats(1e-8, 1e6))
def test_digits_are_enough_to_see_which_is_larger(value, limit):
    text = f"{value:.{decimals(value, limit)}f}"
    assert abs(float(text) - value) <= 0.051 * value and "e" not in plain(limit) and float(plain(limit)) == limit
    if abs(value - limit) > 1e-9:
        assert float(text) != limit


def test_the_trade_off_leaves_out_what_another_beats_in_both():
    others = [candidate("int8", 0.88, 2.0, 1.9), candidate("worse", 0.87, 1.5, 1.4), candidate("small", 0.70, 4.0, 3.9)]
    failed = candidate("failed", 0.99, 9.0, 8.9, status="failed")
    assert trade_off([FLOAT, *others, failed]) == ["float", "int8", "small"]


def test_that_nothing_meets_the_budget_is_said_of_float_too():
    budget = BUDGET | {"max_latency_ms": 0.00001}
    (alone,) = select([FLOAT], budget)[1]
    assert alone.endswith("the float engine ships, though nothing meets the budget: its 1.00 ms is over 0.00001 ms.")
    name, reasons = select([FLOAT, candidate("int8", 0.80, 2.0, 1.9)], budget)
    assert (
        name == "float" and "nothing meets the budget" in reasons[1] and "closest to the budget is int8" in reasons[1]
    )
