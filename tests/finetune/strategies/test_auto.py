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


def test_frozen_features_are_tried_where_they_may_win_or_tell_the_time():
    asks = auto.is_compared
    assert asks([50] * 3, pretrained=True, hours=None) and not asks([auto.COMPARED] * 3, pretrained=True, hours=None)
    assert asks([5000] * 3, pretrained=True, hours=2.0) and not asks([50] * 3, pretrained=False, hours=2.0)


@pytest.mark.parametrize(
    ("hours", "strategy", "stages", "word"),
    [
        (7.0, "full", 18, "at least 20"),  # 3,000 x 3 + 600 passes of 0.1 s, ten times: 2.7 h
        (4.0, "partial", 3, "full would take about 2.7 h"),
        (1.0, "feature-extraction", 0, "the features stay frozen"),
    ],
)
def test_the_budget_bounds_what_is_trained(hours, strategy, stages, word):
    choice = auto.choose([300] * 10, 18, pretrained=True)
    found = auto.within(choice, 18, 10, (3000, 600), 0.1, hours)
    assert (found.strategy, found.stages) == (strategy, stages) and word in found.reason
    assert auto.training_hours(found, 18, 10, (3000, 600), 0.1) <= hours / 2
