"""The choice follows the data, and says why."""

import pytest

from edgetune.finetune.strategies import STRATEGIES, auto


@pytest.mark.parametrize(
    ("counts", "stages", "pretrained", "strategy", "trained", "word"),
    [
        ([5, 6, 7], 19, True, "partial", 3, "median class has 6 training images, fewer"),
        ([5, 6, 7], 5, True, "partial", 1, "the last 1 of 5 stages"),
        ([500, 600, 5], 19, True, "full", 19, "median class has 500"),
        ([5, 6, 7], 19, False, "full", 19, "random weights"),
    ],
)
def test_choice(counts, stages, pretrained, strategy, trained, word):
    choice = auto.choose(counts, stages, pretrained=pretrained)
    assert (choice.strategy, choice.stages) == (strategy, trained)
    assert word in choice.reason and choice.strategy in STRATEGIES
