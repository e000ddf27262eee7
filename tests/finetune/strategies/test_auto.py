"""The choice follows the data, and says why."""

import pytest

from edgetune.finetune.strategies import STRATEGIES, auto


@pytest.mark.parametrize(
    ("counts", "fresh", "strategy", "word"),
    [
        ([5, 6, 7], 2, "feature-extraction", "median class has 6"),
        ([500, 600, 5], 2, "full", "median class has 500"),
        ([5, 6, 7], 100, "full", "random weights"),
    ],
)
def test_choice(counts, fresh, strategy, word):
    chosen, reason = auto.choose(counts, fresh, 100)
    assert chosen == strategy and word in reason and chosen in STRATEGIES
