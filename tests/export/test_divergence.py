"""A divergence planted in one layer of an exported file is found there, and nowhere in the file as it was."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from random_networks import SIZE
from torch import nn

from edgetune.export.divergence import first_divergence
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_quantized_parity, parity_problem
from edgetune.quantization.quantize import quantize
from edgetune.quantization.sensitivity import layer_name
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
LAYERS = ["stem", "wide", "point", "head"]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point, self.head = nn.Conv2d(8, 16, 1), nn.Linear(16, 6)

    def forward(self, x):
        x = torch.relu_(self.stem(x))
        x = self.point(torch.relu(self.wide(x)) + x)
        return self.head(torch.relu(x).mean((2, 3)))


def batches():
    rng = torch.Generator().manual_seed(7)
    return [torch.randn(32, 3, SIZE, SIZE, generator=rng) for _ in range(4)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    path, network = tmp_path_factory.mktemp("d") / "n.onnx", Network().eval()
    graph = quantize(network, EXAMPLE, QuantizationScheme(), batches)
    export_onnx(graph, EXAMPLE, path, opset=20)
    return network, graph, path


def with_planted(path, place, factor):
    """The file with the weights of its layer number ``place`` multiplied by ``factor``."""
    model = onnx.load(path)
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    name = layers[place].input[1]
    makers = {node.output[0]: node for node in model.graph.node}
    while makers[name].op_type != "DequantizeLinear":  # a transposition
        name = makers[name].input[0]
    scale = next(t for t in model.graph.initializer if t.name == makers[name].input[1])
    values = (numpy_helper.to_array(scale) * factor).astype(np.float32)
    copy = numpy_helper.from_array(values, f"planted_{scale.name}")
    model.graph.initializer.append(copy)
    makers[name].input[1] = copy.name
    damaged = path.with_name(f"planted-{place}.onnx")
    onnx.save(model, damaged)
    return damaged


def test_a_faithful_file_passes(exported):
    network, graph, path = exported
    parity = check_quantized_parity(network, graph, path, batches())
    assert parity["samples"] == 128 and 0 < parity["clear"] <= 128
    assert parity_problem(parity) is None
    assert first_divergence(graph, path, batches()[0], layer_name) is None


@pytest.mark.parametrize("place", range(4))
def test_a_planted_divergence_is_found_in_its_layer(exported, place):
    network, graph, path = exported
    damaged = with_planted(path, place, 1.7)
    problem = parity_problem(check_quantized_parity(network, graph, damaged, batches()))
    assert problem is not None and "rounding explains" in problem
    found = first_divergence(graph, damaged, batches()[0], layer_name)
    assert found is not None and found.layer == LAYERS[place]
    assert LAYERS[place] in str(found)


def test_another_network_is_not_compared_layer_by_layer(exported, tmp_path):
    torch.manual_seed(1)
    other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4 * SIZE * SIZE, 6)).eval()
    export_onnx(other, EXAMPLE, tmp_path / "o.onnx", opset=20)
    assert first_divergence(exported[1], tmp_path / "o.onnx", batches()[0], layer_name) is None


def test_answers_are_held_against_each_other_where_they_are_clear():
    base = {"samples": 1000, "agreement": 0.99, "max_difference": 1.0, "mean_difference": 0.1, "output_scale": 1.0}
    fine = {**base, "rms_difference": 0.1, "rounding": 0.1, "clear": 900, "clear_agreement": 1.0}
    assert parity_problem(fine) is None
    assert "99.67%" in parity_problem({**fine, "clear_agreement": 897 / 900})
    assert parity_problem({**fine, "rms_difference": float("nan")}) is not None
