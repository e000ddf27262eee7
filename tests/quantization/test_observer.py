"""Ranges: extremes are seen, outliers are clipped when that pays, memory does not grow."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetune.quantization.fake_quant import ActivationFakeQuantize
from edgetune.quantization.observer import BINS, Observer


def observed(batches):
    observer = Observer()
    for batch in batches:
        observer.watch(batch)
    observer.start_histogram()
    for batch in batches:
        observer.watch(batch)
    return observer


def squared_error(values, low, high, symmetric):
    module = ActivationFakeQuantize(symmetric=symmetric)
    module.observer = None
    module.set_range(low, high)
    return float((module(values) - values).square().mean())


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50), st.booleans())
def test_the_range_is_within_the_extremes_and_holds_zero(values, symmetric):
    tensor = torch.tensor(values)
    low, high = observed([tensor]).best_range(symmetric=symmetric)
    assert min(0.0, min(values)) <= low <= 0.0 <= high <= max(0.0, max(values))


@pytest.mark.parametrize("symmetric", [True, False])
def test_clipping_a_rare_outlier_pays(symmetric):
    torch.manual_seed(0)
    values = torch.cat([torch.randn(200_000), torch.tensor([12.0])])
    observer = observed([values])
    low, high = observer.best_range(symmetric=symmetric)
    assert high < 10
    best = squared_error(values, low, high, symmetric)
    assert best < squared_error(values, observer.low, observer.high, symmetric)


def test_many_batches_are_the_same_as_one_and_take_no_more_memory():
    torch.manual_seed(0)
    values = torch.randn(64, 100)
    one, many = observed([values]), observed(list(values))
    assert one.best_range(symmetric=False) == many.best_range(symmetric=False)
    assert many.histogram.numel() == BINS


def test_a_constant_tensor():
    assert observed([torch.zeros(10)]).best_range(symmetric=False) == (0.0, 0.0)
    module = ActivationFakeQuantize(symmetric=False)
    module.observer = None
    module.set_range(0.0, 0.0)
    assert torch.equal(module(torch.zeros(3)), torch.zeros(3))
