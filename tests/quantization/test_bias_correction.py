"""Corrected networks have the mean outputs of the float network, and stay what they were otherwise."""

import copy

import pytest
import torch
from hypothesis import given, settings
from random_networks import SIZE, networks
from torch import nn

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
COARSE = QuantizationScheme(activation="uint8", per_channel=False, reduce_range=True)


def samples():
    rng = torch.Generator().manual_seed(7)
    return [torch.rand(16, 3, SIZE, SIZE, generator=rng) for _ in range(3)]


def layer(groups=1, bias=True):
    """A convolution without padding whose inputs have a mean, so that rounding shifts its output."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3, groups=groups, bias=bias)
    with torch.no_grad():
        conv.weight[0] *= 40  # a scale for the whole tensor is then coarse for the others
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def shift(network, graph):
    batch = torch.cat(samples())
    return (graph(batch).mean(0) - network(batch).mean(0)).abs().max()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mean_of_each_channel_is_right_again(groups, bias):
    network = layer(groups, bias)
    before = shift(network, quantize(network, EXAMPLE, COARSE, samples))
    after = shift(network, quantize(network, EXAMPLE, COARSE, samples, repair=("bias-correction",)))
    assert after < 0.2 * before


def test_linear_layers_too():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        network[1].weight[0] *= 30
    before = shift(network, quantize(network, EXAMPLE, COARSE, samples))
    assert shift(network, quantize(network, EXAMPLE, COARSE, samples, repair=("bias-correction",))) < before


def test_layers_that_share_a_bias_are_corrected_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    graph = quantize(Twice().eval(), EXAMPLE, COARSE, samples, repair=("bias-correction",))
    first, second = (graph.get_buffer(f"corrected_bias_{number}") for number in range(2))
    assert not torch.equal(first, second)


@settings(max_examples=8)
@given(networks())
def test_any_network_exports_as_corrected_and_is_left_as_it_was(tmp_path_factory, network):
    path, before = tmp_path_factory.mktemp("b") / "b.onnx", copy.deepcopy(network.state_dict())
    graph = quantize(network, EXAMPLE, QuantizationScheme(), samples, repair=("bias-correction",))
    export_onnx(graph, EXAMPLE, path, opset=20)
    spread = float(network(samples()[0]).std()) + 1e-3
    assert check_parity(graph, path, samples())["max_difference"] < 0.3 * spread + 0.02
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
