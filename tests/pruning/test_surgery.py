"""Pruning makes networks smaller, keeps heads whole, rounds channels, and says when it cannot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgetune.errors import PruningError, RecipeError
from edgetune.models.zoo import make_network
from edgetune.pruning.surgery import PruneOptions, count_parameters, prune

EXAMPLE = torch.zeros(1, 3, 32, 32)


def options(ratio=0.3, criterion="magnitude", scope="global", multiple=8, protected=()):
    return PruneOptions(ratio=ratio, criterion=criterion, scope=scope, channel_multiple=multiple, protected=protected)


def batches():
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=rng), torch.randint(0, 5, (4,), generator=rng)) for _ in range(2)]


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("mobilenet_v2", "classifier.1")])
def test_real_networks_get_smaller_and_still_run(name, head, criterion, scope):
    torch.manual_seed(0)
    network = make_network(f"torchvision/{name}", 5, {})
    before = count_parameters(network)
    history = prune(network, EXAMPLE, options(criterion=criterion, scope=scope, protected=(head,)), batches())
    assert history and count_parameters(network) < 0.9 * before
    assert network.eval()(EXAMPLE).shape == (1, 5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.out_channels % 8 == 0
    assert all(parameter.grad is None for parameter in network.parameters())


@settings(max_examples=10)
@given(st.lists(st.integers(2, 6), min_size=2, max_size=4), st.booleans(), st.floats(0.2, 0.7))
def test_small_networks_of_any_width_prune_or_say_why(widths, norm, ratio):
    layers, channels = [], 3
    for width in widths:
        layers += [nn.Conv2d(channels, 4 * width, 3, padding=1)]
        layers += [nn.BatchNorm2d(4 * width)] if norm else []
        layers += [nn.ReLU()]
        channels = 4 * width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))
    head = str(len(network) - 1)
    try:
        prune(network, EXAMPLE, options(ratio=ratio, multiple=4, protected=(head,)), [])
    except PruningError as error:
        assert "removes nothing" in error.message
    assert network.eval()(EXAMPLE).shape == (1, 5)


def test_a_protected_module_that_is_not_there():
    with pytest.raises(RecipeError, match="names 'heads'") as caught:
        prune(make_network("torchvision/resnet18", 5, {}), EXAMPLE, options(protected=("heads",)), [])
    assert "conv1" in caught.value.hint


def test_a_ratio_that_removes_nothing():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(PruningError, match="removes nothing"):
        prune(network, EXAMPLE, options(ratio=0.1, protected=("4",)), [])
