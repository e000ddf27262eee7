"""The range test finds the rate at which a quadratic explodes, and stops there."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgetune.errors import TrainingError
from edgetune.finetune.lr_find import range_test, smooth, suggest
from edgetune.finetune.options import TrainOptions
from edgetune.progress import silent

OPTIONS = TrainOptions(
    strategy="full", epochs=4, learning_rate=0.02, weight_decay=0.0, warmup_epochs=0.5, precision="fp32", seed=3
)


class Points:
    """Noise-free regression of a line; a step is one batch of the same points."""

    steps_per_epoch = 7

    def train(self, epoch, start_batch):
        inputs = torch.linspace(-1, 1, 16).reshape(8, 2)
        return ((inputs, inputs @ torch.tensor([3.0, -2.0])) for _ in range(self.steps_per_epoch))


def squared(model, inputs, truth):
    return (model(inputs).squeeze(1) - truth).square().mean()


def find(loss=squared, options=OPTIONS, steps=80, highest=100.0):
    torch.manual_seed(0)
    return range_test(nn.Linear(2, 1), options, Points(), loss, silent, lowest=1e-6, highest=highest, steps=steps)


def test_it_rises_to_where_the_loss_explodes_and_suggests_less():
    test = find()
    assert test.diverged and len(test.rates) == len(test.losses) == len(test.smoothed) < 80
    assert list(test.rates) == sorted(test.rates) and test.rates[0] == pytest.approx(1e-6)
    ratios = [b / a for a, b in zip(test.rates, test.rates[1:], strict=False)]
    assert max(ratios) == pytest.approx(min(ratios))
    assert 0.001 < test.suggestion < 0.5 < test.rates[-1]


def test_a_range_that_ends_too_early_is_told():
    test = find(highest=0.01)
    assert not test.diverged and len(test.rates) == 80 and test.rates[-1] == pytest.approx(0.01)


def test_the_same_seed_gives_the_same_curve():
    assert find() == find()


def test_a_loss_that_explodes_at_once_is_a_clear_failure():
    calls = 0

    def explode(model, inputs, truth):
        nonlocal calls
        calls += 1
        return squared(model, inputs, truth) * (math.inf if calls > 4 else 1.0)

    with pytest.raises(TrainingError, match="exploded after 4 batches"):
        find(explode)


def test_feature_extraction_has_no_rate():
    from dataclasses import replace

    with pytest.raises(TrainingError, match="has no learning rate"):
        find(options=replace(OPTIONS, strategy="feature-extraction"))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=50))
def test_smoothing_stays_between_the_extremes(losses):
    assert min(losses) - 1e-9 <= smooth(losses) <= max(losses) + 1e-9


def test_suggestion_is_a_tenth_of_the_best():
    assert suggest([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0]) == 1e-3
