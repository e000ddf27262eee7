"""Ranges: extremes are seen, outliers are clipped when that pays, memory does not grow."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetune.quantization.fake_quant import ActivationFakeQuantize
from edgetune.quantization.observer import BINS, Observer
from edgetune.quantization.ranges import METHODS, choose_range


def observed(batches):
    observer = Observer()
    for batch in batches:
        observer.watch(batch)
    observer.start_histogram()
    for batch in batches:
        observer.watch(batch)
    return observer.seen()


def squared_error(values, low, high, symmetric):
    module = ActivationFakeQuantize(symmetric=symmetric)
    module.observer = None
    module.set_range(low, high)
    return float((module(values) - values).square().mean())


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50), st.booleans(), st.sampled_from([*METHODS]))
def test_the_range_is_within_the_extremes_and_holds_zero(values, symmetric, method):
    tensor = torch.tensor(values)
    low, high = choose_range(observed([tensor]), method, symmetric=symmetric)
    assert min(0.0, min(values)) <= low <= 0.0 <= high <= max(0.0, max(values))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_clipping_a_rare_outlier_pays(symmetric, method):
    torch.manual_seed(0)
    values = torch.cat([torch.randn(200_000), torch.tensor([12.0])])
    seen = observed([values])
    low, high = choose_range(seen, method, symmetric=symmetric)
    assert high < 10
    best = squared_error(values, low, high, symmetric)
    assert best < squared_error(values, seen.low, seen.high, symmetric)
    assert choose_range(seen, "minmax", symmetric=symmetric) == (seen.low, seen.high)


def test_mse_is_the_best_of_all_by_the_squared_error():
    torch.manual_seed(0)
    values = torch.cat([torch.randn(100_000).relu() ** 2, torch.tensor([40.0])])
    seen = observed([values])
    errors = {m: squared_error(values, *choose_range(seen, m, symmetric=False), False) for m in METHODS}
    assert min(errors, key=errors.get) == "mse"


def test_a_percentile_leaves_out_that_share():
    values = torch.arange(1_000_000, dtype=torch.float32) / 1_000_000
    low, high = choose_range(observed([values**8]), "percentile", symmetric=False)
    assert low == 0.0 and high == pytest.approx(0.9999**8, abs=1 / BINS)
    low, high = choose_range(observed([torch.cat([-(values**8), values**8])]), "percentile", symmetric=False)
    assert (-low, high) == pytest.approx((0.9999**8, 0.9999**8), abs=2 / BINS)


def test_a_moving_average_forgets_a_single_wild_batch():
    torch.manual_seed(0)
    batches = [torch.rand(1000) for _ in range(30)]
    batches[3] = batches[3] * 50
    _, high = choose_range(observed(batches), "moving-average", symmetric=False)
    assert 0.9 < high < 5


def test_many_batches_are_the_same_as_one_and_take_no_more_memory():
    torch.manual_seed(0)
    values = torch.randn(64, 100)
    one, many = observed([values]), observed(list(values))
    assert choose_range(one, "mse", symmetric=False) == choose_range(many, "mse", symmetric=False)
    assert many.histogram.numel() == BINS


def test_a_constant_tensor():
    assert choose_range(observed([torch.zeros(10)]), "mse", symmetric=False) == (0.0, 0.0)
    module = ActivationFakeQuantize(symmetric=False)
    module.observer = None
    module.set_range(0.0, 0.0)
    assert torch.equal(module(torch.zeros(3)), torch.zeros(3))
