"""Which stages learn when."""

from hypothesis import given
from hypothesis import strategies as st

from edgetune.finetune.strategies import full, gradual, partial


@given(st.integers(0, 40), st.integers(1, 100), st.integers(0, 50))
def test_every_strategy_names_a_stage_and_never_freezes_one_again(head, epochs, stages):
    for strategy in (full, partial, gradual):
        firsts = [strategy.first_stage(head, epoch, epochs, stages) for epoch in range(epochs)]
        assert all(0 <= first <= head for first in firsts)
        assert firsts == sorted(firsts, reverse=True)


@given(st.integers(1, 40), st.integers(2, 100))
def test_gradual_starts_with_the_head_and_ends_with_half_the_epochs_whole(head, epochs):
    firsts = [gradual.first_stage(head, epoch, epochs, 1) for epoch in range(epochs)]
    assert firsts[0] == head and set(firsts[epochs // 2 :]) == {0}


def test_partial_counts_from_the_head():
    assert [partial.first_stage(5, 0, 8, k) for k in (0, 1, 3, 9)] == [5, 4, 2, 0]
    assert full.first_stage(5, 0, 8, 1) == 0
