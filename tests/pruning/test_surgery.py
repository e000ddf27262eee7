"""Pruning makes networks smaller, keeps heads whole, rounds channels, and says when it cannot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgetune.errors import PruningError, RecipeError
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.models.zoo import make_network
from edgetune.pruning.criteria import CRITERIA
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.surgery import PruneOptions, count_channels, latency_of, prune_by_ratio, prune_to_latency

EXAMPLE = torch.zeros(1, 3, 32, 32)


def options(criterion="magnitude", scope="global", multiple=8, protected=()):
    return PruneOptions(criterion=criterion, scope=scope, channel_multiple=multiple, protected=protected)


def batches():
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=rng), torch.randint(0, 5, (4,), generator=rng)) for _ in range(2)]


@pytest.mark.parametrize(
    ("criterion", "scope"),
    [*((name, "global") for name in CRITERIA), ("fisher", "local"), ("magnitude", "local"), ("fisher", "isomorphic")],
)
@pytest.mark.parametrize(("name", "head"), [("resnet18", "fc"), ("mobilenet_v2", "classifier.1")])
def test_real_networks_get_smaller_and_still_run(name, head, criterion, scope):
    torch.manual_seed(0)
    network = make_network(f"torchvision/{name}", 5, {})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.1, 1.0)  # as training leaves them: unlike
    before = count_channels(network)
    history = prune_by_ratio(network, EXAMPLE, 0.3, options(criterion, scope, protected=(head,)), batches())
    assert history and count_channels(network) < 0.9 * before
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
    before = count_channels(network)
    history = prune_by_ratio(network, EXAMPLE, ratio, options(multiple=4, protected=(head,)), [])
    assert (count_channels(network) < before) == bool(history)
    assert network.eval()(EXAMPLE).shape == (1, 5)


def test_a_protected_module_that_is_not_there():
    with pytest.raises(RecipeError, match="names 'heads'") as caught:
        prune_by_ratio(make_network("torchvision/resnet18", 5, {}), EXAMPLE, 0.3, options(protected=("heads",)), [])
    assert "conv1" in caught.value.hint


def test_a_ratio_that_removes_nothing():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    assert prune_by_ratio(network, EXAMPLE, 0.1, options(protected=("4",)), []) == []


def linear_times(network):
    """As if each multiplication took a nanosecond."""
    return {
        name: LayerTimes(
            inputs=(0, shape.inputs),
            outputs=() if shape.depthwise else (0, shape.outputs),
            ms=((0.0,), (macs(shape) / 1e6,)) if shape.depthwise else ((0.0, 0.0), (0.0, macs(shape) / 1e6)),
        )
        for name, shape in layer_shapes(network, EXAMPLE).items()
    }


def macs(shape):
    pixels = shape.height * shape.width // (shape.stride[0] * shape.stride[1])
    return shape.inputs // shape.groups * shape.outputs * shape.kernel[0] * shape.kernel[1] * pixels


@pytest.mark.parametrize(
    ("name", "head"), [("resnet18", "fc"), ("mobilenet_v2", "classifier.1"), ("regnet_x_400mf", "fc")]
)
def test_real_networks_reach_a_latency(name, head):
    torch.manual_seed(0)
    network = make_network(f"torchvision/{name}", 5, {})
    times = linear_times(network)
    limit = latency_of(network, EXAMPLE, times) / 1.5
    history = prune_to_latency(network, EXAMPLE, limit, times, options("fisher", protected=(head,)), batches())
    assert history and 0.5 * limit < latency_of(network, EXAMPLE, times) <= limit
    assert network(EXAMPLE).shape == (1, 5)


def test_what_was_pruned_to_a_latency_is_saved_and_loaded(tmp_path):
    torch.manual_seed(0)
    spec = NetworkSpec(name="torchvision/mobilenet_v2", num_classes=5, image_size=32, args={})
    network = spec.make()
    times = linear_times(network)
    limit = latency_of(network, EXAMPLE, times) / 1.3
    protected = options("magnitude", protected=("classifier.1",))
    save_checkpoint(tmp_path, spec, network, prune_to_latency(network, EXAMPLE, limit, times, protected, []))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_checkpoint(tmp_path)[1](images), network.eval()(images))


def test_a_latency_that_no_pruning_reaches():
    network = make_network("torchvision/resnet18", 5, {})
    times = linear_times(network)
    limit = latency_of(network, EXAMPLE, times) / 1000
    with pytest.raises(PruningError, match=r"cannot bring the layers from .* ms are left") as caught:
        prune_to_latency(network, EXAMPLE, limit, times, options(protected=("fc",)), [])
    assert "target_speedup" in caught.value.hint


def test_a_network_without_layers_to_time():
    with pytest.raises(PruningError, match="no convolution or linear layer"):
        latency_of(nn.Flatten(), EXAMPLE, {})


class Stubborn(nn.Sequential):
    """Fails in a way of its own, as tracing of odd networks does."""

    def forward(self, x):
        raise ZeroDivisionError("integer division or modulo by zero")


def test_what_torch_pruning_does_not_know_is_told():
    network = Stubborn(nn.Conv2d(3, 8, 1))
    with pytest.raises(PruningError, match="torch-pruning cannot prune this network: ZeroDivisionError"):
        prune_to_latency(network, EXAMPLE, 1.0, {}, options(), [])


def test_a_search_for_groups_that_does_not_end(monkeypatch):
    monkeypatch.setattr("edgetune.pruning.groups.MAX_SEARCH_SECONDS", 0.0)
    network = make_network("torchvision/resnet18", 5, {})
    with pytest.raises(PruningError, match="has not found this network's groups"):
        prune_to_latency(network, EXAMPLE, 1.0, linear_times(network), options(protected=("fc",)), [])
