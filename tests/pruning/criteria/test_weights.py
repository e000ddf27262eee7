"""Criteria that look at weights, and those that estimate the loss weight by weight: what they score."""

import importlib

import pytest
import torch
import torch_pruning as tp
from torch import nn

from edgetune.errors import PruningError
from edgetune.pruning.criteria import CRITERIA, bn_scale, fpgm, obd
from edgetune.tasks.image_classification import cross_entropy

EXAMPLE = torch.zeros(1, 3, 8, 8)


def chain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    ).eval()


def batches(number=3):
    rng = torch.Generator().manual_seed(1)
    pictures = torch.randn(number, 8, 3, 8, 8, generator=rng)
    return list(zip(pictures, torch.randint(0, 3, (number, 8), generator=rng), strict=True))


def scores(name, network):
    importance = importlib.import_module(CRITERIA[name]).importance(network, batches())
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=EXAMPLE)
    return importance(graph.get_pruning_group(network[0], tp.prune_conv_out_channels, list(range(8))))


@pytest.mark.parametrize("name", sorted(set(CRITERIA) - {"random", "fpgm", "bn-scale"}))
def test_a_channel_of_nothing_scores_least(name):
    network = chain()
    with torch.no_grad():
        network[0].weight[3] = 0
        network[0].bias[3] = 0
        network[1].weight[3] = 0
        network[1].bias[3] = 0
        network[5].weight[:, 3] = 0
    found = scores(name, network)
    assert found.shape == (8,) and int(found.argmin()) == 3


def test_batch_norm_scales_rank_and_their_absence_is_told():
    network = chain()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([1.0, -3, 0.5, 2, 0.1, 1, 1, 4]))
    assert scores("bn-scale", network).argsort().tolist()[0] == 4 and int(scores("bn-scale", network).argmax()) == 7
    with pytest.raises(PruningError, match="no batch norm"):
        bn_scale.importance(nn.Sequential(nn.Conv2d(3, 8, 3)), [])


def test_the_filter_nearest_to_all_others_scores_least_and_a_negative_is_not_the_same():
    network = chain()
    with torch.no_grad():
        filters = torch.randn(8, 3, 3, 3)
        filters[5] = filters.mean(0)
        network[0].weight.copy_(filters)
    expected = torch.cdist(filters.flatten(1), filters.flatten(1)).sum(1)
    found = scores("fpgm", network)
    torch.testing.assert_close(found, expected / expected.mean())
    assert int(found.argmin()) == 5
    with torch.no_grad():
        network[0].weight[0] = -network[0].weight[1]
    assert scores("fpgm", network)[0] > found[5]
    assert fpgm.importance(network, []) is not None


def test_second_derivatives_are_means_over_all_batches():
    network = chain()
    expected = torch.zeros_like(network[0].weight)
    for images, labels in batches():
        network.zero_grad()
        cross_entropy(network(images), labels, 0.0).backward()
        expected += network[0].weight.grad.square() / 3
    found = obd.importance(network, batches())
    torch.testing.assert_close(found._accu_grad[network[0].weight] / found._counter[network[0].weight], expected)


def test_random_scores_are_those_of_the_seed():
    network, found = chain(), []
    for seed in (5, 6, 5):
        torch.manual_seed(seed)
        found.append(scores("random", network))
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
