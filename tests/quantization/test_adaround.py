"""Adaptively rounded networks are nearer to the float one, export as they are, and lie on the steps of their scales."""

import copy

import pytest
import torch
from random_networks import SIZE
from torch import nn

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.quantization.adaround import round_adaptively
from edgetune.quantization.fake_quant import WeightFakeQuantize
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
COARSE = QuantizationScheme(activation="uint8", per_channel=False, reduce_range=True)


def samples():
    rng = torch.Generator().manual_seed(7)
    return [torch.rand(16, 3, SIZE, SIZE, generator=rng) for _ in range(3)]


def network(groups=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=2, dilation=2, groups=groups),
        nn.ReLU(), nn.Conv2d(12, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 5),
    ).eval()  # fmt: skip


def distance(graph, reference):
    fresh = torch.rand(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        return float((graph(fresh) - reference(fresh)).square().mean())


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_outputs_on_other_samples_are_nearer_to_float(groups):
    reference = network(groups)
    plain = quantize(reference, EXAMPLE, COARSE, samples)
    repaired = quantize(reference, EXAMPLE, COARSE, samples, repair=("adaround",))
    assert distance(repaired, reference) < 0.6 * distance(plain, reference)
    both = quantize(reference, EXAMPLE, COARSE, samples, repair=("adaround", "bias-correction"))
    assert distance(both, reference) < 0.6 * distance(plain, reference)


def test_weights_are_on_the_steps_and_the_file_says_the_same(tmp_path):
    reference = network()
    before = copy.deepcopy(reference.state_dict())
    graph = quantize(reference, EXAMPLE, COARSE, samples, repair=("adaround", "bias-correction"))
    fakes = [node for node in graph.graph.nodes if str(node.target).startswith("weight_fake")]
    assert len(fakes) == 4
    for node in fakes:
        fake, weight = graph.get_submodule(node.target), getattr(graph, node.args[0].target)
        assert isinstance(fake, WeightFakeQuantize) and torch.equal(fake(weight), weight)
        assert (weight / fake.scale).abs().max() < 63.5  # 7 bits
    export_onnx(graph, EXAMPLE, tmp_path / "a.onnx", opset=20)
    assert check_parity(graph, tmp_path / "a.onnx", samples())["agreement"] == 1.0
    assert all(torch.equal(before[key], value) for key, value in reference.state_dict().items())


def test_layers_that_share_a_weight_are_rounded_as_one():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(torch.relu(self.conv(x))).mean((2, 3))

    graph = quantize(Twice().eval(), EXAMPLE, COARSE, samples)
    assert round_adaptively(graph, samples) == 1


def test_little_memory_takes_more_passes(monkeypatch):
    passes = []

    def counted():
        passes.append(1)
        return samples()

    monkeypatch.setattr("edgetune.quantization.adaround.MEMORY", 1)
    assert round_adaptively(quantize(network(), EXAMPLE, COARSE, samples), counted) == len(passes) == 4
