"""Adaptive rounding never loses to the nearest on the samples' moments, and comes near the best there is."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetune.quantization.rounding import output_error, round_weights


def problem(seed, groups, rows, columns, samples=64):
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(groups, columns, columns, generator=rng)
    inputs = torch.relu(torch.randn(groups, samples, columns, generator=rng) @ mix + 0.5)
    weight = torch.randn(groups * rows, columns, generator=rng)
    scale = weight.abs().amax(1, keepdim=True) / 7
    return weight, scale, inputs.transpose(1, 2) @ inputs / samples


def errors(weight, scale, moments, found):
    shape = (len(moments), -1, weight.shape[1])
    return output_error(found.reshape(shape), (weight / scale).reshape(shape), moments)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 4), st.integers(1, 12), st.sampled_from([3, 7]))
def test_no_row_is_worse_than_rounded_to_the_nearest(seed, groups, rows, columns, limit):
    weight, scale, moments = problem(seed, groups, rows, columns)
    found = round_weights(weight, scale, limit, moments)
    nearest = (weight / scale).round().clamp(-limit, limit)
    assert bool((errors(weight, scale, moments, found) <= errors(weight, scale, moments, nearest)).all())
    assert found.abs().max() <= limit and torch.equal(found, found.round())
    inside = (weight / scale).abs() < limit
    assert bool(((found - weight / scale).abs()[inside] < 1).all())


def test_it_is_near_the_best_of_all_choices():
    weight, scale, moments = problem(3, 1, 6, 8)
    exact = weight / scale
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=8)))
    best = torch.stack([output_error((row.floor() + choices)[None], row[None, None], moments).min() for row in exact])
    found = errors(weight, scale, moments, round_weights(weight, scale, 7, moments))[0]
    nearest = errors(weight, scale, moments, exact.round())[0]
    assert found.sum() - best.sum() < 0.2 * (nearest.sum() - best.sum())


def test_the_same_weights_are_rounded_the_same_way():
    one, two = (round_weights(*problem(5, 2, 3, 9)[:2], 7, problem(5, 2, 3, 9)[2]) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("moments", [torch.zeros(1, 4, 4), torch.full((1, 4, 4), 1e-30)])
def test_inputs_that_are_always_zero_leave_the_nearest(moments):
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().amax(1, keepdim=True) / 7
    assert torch.equal(round_weights(weight, scale, 7, moments), (weight / scale).round())
