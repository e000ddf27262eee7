"""Penalties on channels: which weights they count, and that they make those small that are meant."""

import pytest
import torch
from torch import nn

from edgetune.models.zoo import make_network
from edgetune.pruning.sparsity import channel_groups, chosen_channels, group_lasso, growing
from edgetune.pruning.surgery import PruneOptions, prune_by_ratio

EXAMPLE = torch.zeros(1, 3, 8, 8)


def chain():
    """Eight channels that a linear layer reads as 9 numbers each."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)).eval()


def test_a_channel_is_all_its_weights_in_every_layer():
    network = chain()
    nn.init.uniform_(network[1].weight)
    (group,) = channel_groups(network, EXAMPLE, [network[4]])
    read = network[4].weight.square().sum(0).view(8, 16).sum(1)
    expected = network[0].weight.square().flatten(1).sum(1) + network[1].weight.square() + read
    torch.testing.assert_close(group.squares(), expected)
    assert group.size == 3 * 9 + 1 + 5 * 16


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_what_history_takes_out_is_what_is_chosen(name):
    """Once the chosen weights are zero, pruning changes no output."""
    torch.manual_seed(0)
    network, example = make_network(f"torchvision/{name}", 5, {}).eval(), torch.zeros(1, 3, 32, 32)
    head = {"mobilenet_v2": "classifier.1"}.get(name, "fc")
    options = PruneOptions(criterion="magnitude", scope="local", channel_multiple=8, protected=(head,))
    copied = make_network(f"torchvision/{name}", 5, {}).eval()
    copied.load_state_dict(network.state_dict())
    history = prune_by_ratio(copied, example, 0.4, options, [])
    chosen = chosen_channels(network, example, history)
    assert history and len(chosen) == len(history)
    assert float(growing(chosen, 1.0)(1.0).detach()) > 0
    with torch.no_grad():
        for group, which in chosen:
            for part in group.parts:
                mine = part.own[torch.isin(part.group, which)]
                (part.layer.weight.T if part.columns and part.layer.weight.ndim == 2 else
                 part.layer.weight.transpose(0, 1) if part.columns else part.layer.weight)[mine] = 0  # fmt: skip
    assert float(growing(chosen, 1.0)(1.0).detach()) == 0
    again = make_network(f"torchvision/{name}", 5, {}).eval()
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    before = again(images).detach()
    pruned = prune_by_ratio(again, example, 0.4, options, [])
    assert pruned == history  # the smallest channels are the same ones
    torch.testing.assert_close(again(images), before, atol=1e-4, rtol=1e-3)


def descend(network, penalty, steps=200, rate=0.05):
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    for step in range(steps):
        optimizer.zero_grad()
        penalty(step / steps).backward()
        optimizer.step()


def test_a_lasso_brings_the_weakest_channels_to_nothing_first():
    network = chain()
    with torch.no_grad():
        network[0].weight[:4] *= 0.05
        network[1].weight[:4] *= 0.05
        network[4].weight[:, :64] *= 0.05
    groups = channel_groups(network, EXAMPLE, [network[4]])
    before = groups[0].squares().detach().sqrt()
    descend(network, group_lasso(groups, 0.003), rate=0.01)
    after = groups[0].squares().detach().sqrt()
    assert torch.all(after < before)
    assert torch.all(after[:4] < 0.05 * before[4:].min()) and torch.all(after[4:] > 0.5 * before[4:])


def test_growing_pulls_at_chosen_channels_alone_and_at_nothing_in_the_beginning():
    network = chain()
    (group,) = channel_groups(network, EXAMPLE, [network[4]])
    penalty = growing([(group, torch.tensor([1, 6]))], 1.0)
    assert float(penalty(0.0).detach()) == 0 and float(penalty(1.0).detach()) == 2 * float(penalty(0.5).detach()) > 0
    before = group.squares().detach()
    descend(network, penalty)
    after = group.squares().detach()
    others = [0, 2, 3, 4, 5, 7]
    assert torch.all(after[[1, 6]] < 0.1 * before[[1, 6]]) and torch.equal(after[others], before[others])
