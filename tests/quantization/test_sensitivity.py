"""Partly quantized graphs are the whole one and the float one at their ends; a damaged layer is found."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from random_networks import SIZE, networks
from torch import nn

from edgetune.quantization.causes import causes
from edgetune.quantization.quantize import observe, prepare, set_ranges
from edgetune.quantization.sensitivity import (
    Partly,
    all_logits,
    alone,
    layer_name,
    outcome,
    quantized_operators,
    rounding_noise,
)
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
X86 = QuantizationScheme(activation="uint8")
ONE_SCALE = replace(X86, per_channel=False)


def pictures():
    rng = torch.Generator().manual_seed(7)
    return [torch.randn(16, 3, SIZE, SIZE, generator=rng) for _ in range(2)]


def labelled():
    return [(batch, torch.zeros(len(batch), dtype=torch.int64)) for batch in pictures()]


def calibrated(network, scheme=X86, method="mse", samples=pictures):
    graph = prepare(network, EXAMPLE, scheme)
    seen = observe(graph, samples)
    set_ranges(seen, method)
    return graph, seen


@settings(max_examples=6)
@given(networks())
def test_nothing_active_is_the_float_network_and_everything_the_quantized_one(network):
    graph, _ = calibrated(network)
    with torch.no_grad():
        for batch in pictures():
            torch.testing.assert_close(Partly(graph, ()).run(batch), network(batch), atol=1e-4, rtol=1e-4)
            whole = Partly(graph, quantized_operators(graph)).run(batch)
            torch.testing.assert_close(whole, graph(batch), atol=1e-5, rtol=1e-5)


@settings(max_examples=5)
@given(networks())
def test_noise_and_divergence_are_there_for_every_operator(network):
    graph, seen = calibrated(network)
    noise, reference = rounding_noise(graph, labelled), all_logits(Partly(graph, ()).run, labelled)
    apart = alone(graph, labelled, reference)
    assert list(noise) == list(apart) == quantized_operators(graph)
    for node, found in apart.items():
        assert found.divergence >= -1e-6 and 0 <= found.agreement <= 1
        assert not math.isnan(noise[node].sqnr)
        assert all(isinstance(text, str) for text in causes(graph, node, noise[node], seen))
    assert outcome(Partly(graph, ()).run, labelled, reference).divergence == pytest.approx(0, abs=1e-9)


def two_layers():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


def worst(graph, seen):
    reference = all_logits(Partly(graph, ()).run, labelled)
    apart = alone(graph, labelled, reference)
    node = max(apart, key=lambda n: apart[n].divergence)
    return layer_name(node), causes(graph, node, rounding_noise(graph, labelled)[node], seen)


def test_one_scale_for_unlike_channels_is_named_with_its_layer():
    network = two_layers()
    with torch.no_grad():
        network[2].weight[0] *= 300
        network[6].weight[:, 0] /= 300
    name, said = worst(*calibrated(network, ONE_SCALE))
    assert name == "2" and said[0].startswith("unlike channels") and "round to nothing" in said[1]
    assert worst(*calibrated(network))[1] == []  # a scale for each channel


def test_an_outlier_that_stretches_a_range_is_named():
    network = two_layers()

    def with_outlier():
        batches = pictures()
        batches[0][0, 0, 0, 0] = 3000.0
        return batches

    graph, seen = calibrated(network, method="minmax", samples=with_outlier)
    first = quantized_operators(graph)[0]
    noise = rounding_noise(graph, labelled)[first]
    assert layer_name(first) == "0" and noise.activations < noise.weight
    assert causes(graph, first, noise, seen)[0].startswith("range outliers")


def test_a_range_that_clips_and_a_symmetric_one_half_unused_are_named():
    network = two_layers()
    graph, seen = calibrated(network, replace(X86, activation="int8"))
    node = next(n for n in quantized_operators(graph) if layer_name(n) == "2")
    noise = rounding_noise(graph, labelled)[node]
    assert "half of the steps" in causes(graph, node, noise, seen)[0]
    for module in seen:
        module.set_range(0.0, 0.05)
    assert "saturation" in " ".join(causes(graph, node, noise, seen))


def test_channels_without_weights_are_told():
    network = two_layers()
    with torch.no_grad():
        network[2].weight[3:5] = 0
    graph, seen = calibrated(network)
    node = next(n for n in quantized_operators(graph) if layer_name(n) == "2")
    assert "dead channels: 2 of 8" in " ".join(causes(graph, node, rounding_noise(graph, labelled)[node], seen))
