"""Losses: weights by class, shares as labels."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetune.tasks.image_classification import balancing_weights, cross_entropy


@given(st.lists(st.integers(1, 500), min_size=2, max_size=9))
def test_balancing_weights_have_mean_one_and_make_classes_count_the_same(counts):
    weights = balancing_weights(counts)
    total = weights * torch.tensor(counts)
    torch.testing.assert_close(total, total.mean().expand(len(counts)))
    assert abs(float(total.sum()) / sum(counts) - 1) < 1e-5


def test_weights_of_one_change_nothing():
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 3), torch.randint(0, 3, (7,))
    for truth in (labels, torch.nn.functional.one_hot(labels, 3).float()):
        plain = cross_entropy(logits, truth, 0.1)
        torch.testing.assert_close(cross_entropy(logits, truth, 0.1, torch.ones(3)), plain)
        torch.testing.assert_close(plain, cross_entropy(logits, labels, 0.1))


def test_a_weight_counts_like_that_many_samples():
    torch.manual_seed(0)
    logits = torch.randn(2, 2)
    repeated = cross_entropy(logits[[0, 1, 1, 1]], torch.tensor([0, 1, 1, 1]), 0.0) * 4
    weighted = cross_entropy(logits, torch.tensor([0, 1]), 0.0, torch.tensor([1.0, 3.0])) * 2
    torch.testing.assert_close(weighted, repeated)
