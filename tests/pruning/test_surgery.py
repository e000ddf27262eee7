"""Pruning makes networks smaller, keeps heads whole, rounds channels, and says when it cannot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import VisionTransformer

from edgetune.errors import PruningError, RecipeError
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.models.zoo import make_network
from edgetune.pruning.criteria import CRITERIA
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.surgery import PruneOptions, count_channels, latency_of, prune_by_ratio, prune_to_latency

EXAMPLE = torch.zeros(1, 3, 32, 32)


def options(criterion="magnitude", scope="global", multiple=8, protected=(), **more):
    return PruneOptions(criterion=criterion, scope=scope, channel_multiple=multiple, protected=protected, **more)


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
    near = options(protected=("layer1.0.conv",), layers={"layer9": 0.5})
    with pytest.raises(RecipeError, match=r"prune.protect` names 'layer1.0.conv'") as caught:
        prune_by_ratio(make_network("torchvision/resnet18", 5, {}), EXAMPLE, 0.3, near, [])
    assert "did you mean layer1.0.conv" in caught.value.hint
    with pytest.raises(RecipeError, match=r"prune.layers` names 'layer9'"):
        prune_to_latency(
            make_network("torchvision/resnet18", 5, {}), EXAMPLE, 1.0, {}, options(layers={"layer9": 0.5}), []
        )


def widths(network):
    return {name: module.out_channels for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


@pytest.mark.parametrize("scope", ["global", "local", "isomorphic"])
def test_layers_with_a_share_of_their_own(scope):
    network = make_network("torchvision/resnet18", 5, {})
    own = {"layer3.0.conv1": 0.75, "layer4.0.conv1": 0.0, "layer2.1": 0.5}
    prune_by_ratio(network, EXAMPLE, 0.25, options(scope=scope, protected=("fc",), layers=own), [])
    left = widths(network)
    assert left["layer3.0.conv1"] == 64 and left["layer4.0.conv1"] == 512
    assert left["layer2.1.conv2"] <= 72 and left["layer2.0.conv2"] == left["layer2.1.conv2"]  # they add up
    assert 0.6 * 512 <= left["layer4.1.conv1"] < 512


def test_a_share_of_its_own_is_the_most_that_latency_takes():
    narrowest = []
    for own in ({}, {"layer4": 0.25}):
        torch.manual_seed(0)
        network = make_network("torchvision/resnet18", 5, {})
        times = linear_times(network)
        limit = latency_of(network, EXAMPLE, times) / 6
        prune_to_latency(network, EXAMPLE, limit, times, options(protected=("fc",), layers=own), [])
        assert latency_of(network, EXAMPLE, times) <= limit
        narrowest.append(min(width for name, width in widths(network).items() if name.startswith("layer4")))
    assert narrowest[0] < 300 and narrowest[1] == 384


def test_a_ranking_over_all_layers_leaves_a_tenth_of_each():
    """Channels that cost nothing to lose: without a bound the layer would be gone, or (torch-pruning) left whole."""
    torch.manual_seed(0)
    network = make_network("torchvision/resnet18", 5, {})
    with torch.no_grad():
        network.layer4[0].conv2.weight.zero_()  # nothing reads layer4.0.conv1
    prune_by_ratio(network, EXAMPLE, 0.5, options("fisher", protected=("fc",)), batches())
    assert widths(network)["layer4.0.conv1"] == 48  # of 512, in eights


def test_isomorphic_scope_ranks_among_layers_alike():
    def network():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3),
            nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
        )  # fmt: skip
        with torch.no_grad():
            made[3].weight *= 100  # without a batch norm behind it: a kind of its own
        return made

    def left(scope):
        made = network()
        how = options(scope=scope, multiple=4, protected=("10",), normalization="none")
        prune_by_ratio(made, EXAMPLE, 0.5, how, [])
        return [made[i].out_channels for i in (0, 3, 5)]

    everywhere, alike = left("global"), left("isomorphic")
    assert everywhere[1] == 32 and sum(everywhere) <= 52  # all is taken where weights are small
    assert alike[1] == 16 and alike[0] + alike[2] <= 32


def test_what_attention_reads_is_left_whole():
    args = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
    torch.manual_seed(0)
    network = VisionTransformer(**args, num_classes=5).eval()
    nn.init.normal_(network.heads.head.weight)  # it starts at zero, behind which nothing scores
    prune_by_ratio(network, EXAMPLE, 0.4, options("fisher", protected=("heads.head",)), batches())
    assert network.conv_proj.out_channels == 32 and network(EXAMPLE).shape == (1, 5)
    assert network.encoder.layers[0].mlp[0].out_features < 64 or network.encoder.layers[1].mlp[0].out_features < 64


@pytest.mark.parametrize("ratio", [0.95, 0.999])
def test_a_ratio_of_nearly_all_leaves_a_network_that_runs(ratio):
    network = make_network("torchvision/mobilenet_v2", 5, {})
    prune_by_ratio(network, EXAMPLE, ratio, options("fisher", protected=("classifier.1",)), batches())
    assert network(EXAMPLE).shape == (1, 5)


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@pytest.mark.parametrize(("ratio", "left"), [(0.001, [32, 48]), (0.1, [32, 40]), (0.2, [24, 40]), (0.99, [8, 8])])
def test_what_is_left_is_rounded_to_the_nearest_multiple(ratio, left, scope):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 48, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(48, 5),
    )  # fmt: skip
    history = prune_by_ratio(network, EXAMPLE, ratio, options(scope=scope, protected=("6",)), [])
    if scope == "local" or ratio == 0.001:
        assert [network[0].out_channels, network[2].out_channels] == left
    assert len(history) == sum(layer.out_channels < whole for layer, whole in ((network[0], 32), (network[2], 48)))


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
    monkeypatch.setattr("edgetune.pruning.units.MAX_SEARCH_SECONDS", 0.0)
    network = make_network("torchvision/resnet18", 5, {})
    with pytest.raises(PruningError, match="has not found this network's groups"):
        prune_to_latency(network, EXAMPLE, 1.0, linear_times(network), options(protected=("fc",)), [])


@pytest.mark.parametrize("by", ["ratio", "latency"])
@pytest.mark.parametrize(("first", "second", "norm"), [(6, 3, 4), (4, 1, 6), (2, 8, 1)])
def test_layers_that_cut_the_same_channels_into_unlike_groups(first, second, norm, by):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 24, 3), nn.Conv2d(24, 48, 3, groups=first), nn.ReLU(),
        nn.Conv2d(48, 48, 3, groups=second), nn.GroupNorm(norm, 48), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(48, 5),
    )  # fmt: skip
    before, kept = count_channels(network), options(multiple=4, protected=("7",))
    if by == "ratio":
        history = prune_by_ratio(network, EXAMPLE, 0.2, kept, batches())
    else:
        shapes = layer_shapes(network, EXAMPLE)
        times = {
            name: LayerTimes(
                inputs=(0, shape.inputs), outputs=(0, shape.outputs), ms=((0.0, 0.0), (0.0, shape.inputs / 10))
            )
            for name, shape in shapes.items()
        }
        history = prune_to_latency(network, EXAMPLE, 0.85 * latency_of(network, EXAMPLE, times), times, kept, batches())
    assert history and count_channels(network) < before
    assert network.eval()(EXAMPLE).shape == (1, 5)
