"""Fisher scores are squared derivatives by a gate, counted once for coupled layers."""

import pytest
import torch
import torch_pruning as tp
from torch import nn

from edgetune.pruning.criteria import fisher
from edgetune.tasks.image_classification import cross_entropy

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Gated(nn.Module):
    """Multiplies feature maps by gates, whose derivatives are what Fisher scores square."""

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * self.gate.view(1, -1, 1, 1)


def chain(gated, depthwise=False):
    torch.manual_seed(0)
    gate = [Gated(8)] if gated else []
    middle = [nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU()] if depthwise else []
    head = [nn.Conv2d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *middle, *gate, *head)


def batches(number=3):
    rng = torch.Generator().manual_seed(1)
    pictures = torch.randn(number, 8, 3, 8, 8, generator=rng)
    return list(zip(pictures, torch.randint(0, 3, (number, 8), generator=rng), strict=True))


@pytest.mark.parametrize("depthwise", [False, True])
def test_scores_are_the_squared_derivatives_of_gates(depthwise):
    network, gated = chain(gated=False, depthwise=depthwise).eval(), chain(gated=True, depthwise=depthwise).eval()
    expected = torch.zeros(8)
    gate = next(module.gate for module in gated if isinstance(module, Gated))
    for images, labels in batches():
        gated.zero_grad()
        cross_entropy(gated(images), labels, 0.0).backward()
        expected += gate.grad.square() / 3
    scores = fisher.importance(network, batches())
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=EXAMPLE)
    group = graph.get_pruning_group(network[0], tp.prune_conv_out_channels, list(range(8)))
    torch.testing.assert_close(scores(group), expected)


def test_a_channel_that_nothing_needs_scores_nothing():
    network = chain(gated=False).eval()
    with torch.no_grad():
        network[2].weight[:, 3] = 0
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=EXAMPLE)
    group = graph.get_pruning_group(network[0], tp.prune_conv_out_channels, list(range(8)))
    scores = fisher.importance(network, batches())(group)
    assert scores[3] == 0 and scores.argmin() == 3


def test_large_batches_are_looked_at_in_small_parts():
    network = chain(gated=False).eval()
    images, labels = (torch.cat(parts) for parts in zip(*batches(3), strict=True))
    graph = tp.DependencyGraph().build_dependency(network, example_inputs=EXAMPLE)
    group = graph.get_pruning_group(network[0], tp.prune_conv_out_channels, list(range(8)))
    torch.testing.assert_close(
        fisher.importance(network, [(images, labels)])(group), fisher.importance(network, batches(3))(group)
    )
    assert all(parameter.grad is None for parameter in network.parameters())
