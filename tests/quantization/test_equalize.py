"""Equalisation changes no output, evens weights out, and mends a network that one scale a weight breaks."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from random_networks import SIZE, networks
from torch import nn
from unlike_channels import EXAMPLE, ONE_SCALE, chain, pictures

from edgetune.quantization.equalize import equalize
from edgetune.quantization.fold_bn import fold_batch_norms
from edgetune.quantization.quantize import quantize
from edgetune.quantization.trace import trace


def equalized(network):
    graph = trace(network, EXAMPLE)
    fold_batch_norms(graph)
    return graph, equalize(graph)


@settings(max_examples=12)
@given(networks())
def test_it_changes_no_output(network):
    for module in list(network.modules()):  # ReLU6 becomes ReLU, which is a change
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU())
    graph, _ = equalized(network)
    for batch in pictures():
        torch.testing.assert_close(graph(batch), network(batch), atol=1e-3, rtol=1e-3)


def test_ranges_become_like_and_depthwise_layers_are_part_of_it():
    graph, pairs = equalized(chain())
    assert pairs == 2  # the flattened channels feed the linear layer in groups
    middle = next(value for name, value in graph.named_parameters() if value.shape == (8, 1, 3, 3))
    largest = middle.abs().flatten(1).amax(1)
    assert float(largest.max() / largest.min()) < 10


def test_one_scale_a_weight_is_enough_after_it():
    network = chain()
    errors = {}
    for repair in ((), ("equalisation",)):
        graph = quantize(network, EXAMPLE, ONE_SCALE, pictures, repair=repair)
        with torch.no_grad():
            errors[repair] = float(torch.cat([graph(b) - network(b) for b in pictures()]).abs().mean())
    assert errors[("equalisation",)] < 0.2 * errors[()]


def test_a_channel_that_is_only_its_bias_does_not_stretch_the_range():
    network = chain(scale=1.0)
    with torch.no_grad():
        network[2].weight[3] = 1e-7
        network[2].bias[3] = 1.0
    graph, _ = equalized(network)
    assert max(float(v.abs().max()) for n, v in graph.named_parameters() if "bias" in n) < 20
    torch.testing.assert_close(graph(pictures()[0]), network(pictures()[0]), atol=1e-3, rtol=1e-3)


def test_relu6_becomes_relu_only_between_layers_that_are_rescaled():
    graph, pairs = equalized(chain(nn.ReLU6, scale=1.0))
    assert pairs == 2 and "aten.hardtanh" not in graph.code
    alone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * SIZE * SIZE, 4)).eval()
    graph, pairs = equalized(alone)
    assert pairs == 0 and "aten.hardtanh" in graph.code


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-2.0, 2.0), (0.0, 1.0)])
def test_a_hard_tanh_with_other_ends_is_left_alone(ends):
    network = chain(lambda: nn.Hardtanh(*ends), scale=1.0)
    graph, pairs = equalized(network)
    assert pairs == 0
    torch.testing.assert_close(graph(pictures()[0]), network(pictures()[0]))


def test_a_shared_weight_and_a_second_reader_are_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            once = torch.relu(self.layer(x))
            twice = torch.relu(self.layer(once))
            return self.last(twice).mean((2, 3)) + twice.mean()

    network = Shared().eval()
    graph, pairs = equalized(network)
    assert pairs == 0
    torch.testing.assert_close(graph(pictures()[0]), network(pictures()[0]))


@pytest.mark.parametrize("repair", [("equalisation",), ("equalisation", "bias-correction")])
def test_with_a_scale_for_each_channel_it_does_no_harm(repair):
    network = chain(scale=1.0)
    plain = quantize(network, EXAMPLE, replace(ONE_SCALE, per_channel=True), pictures)
    mended = quantize(network, EXAMPLE, replace(ONE_SCALE, per_channel=True), pictures, repair=repair)
    with torch.no_grad():
        error, after = (float(torch.cat([g(b) - network(b) for b in pictures()]).abs().mean()) for g in (plain, mended))
    assert after < 2 * error
