"""A float file that says something else than its network is refused, for pictures and for texts."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxscript import opset20 as op
from small_text import write_encoder
from torch import nn

from edgetune.errors import ExportError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.operators import TRANSLATIONS, register_operator
from edgetune.export.parity import check_parity, float32_noise, float_parity_problem
from edgetune.models.checkpoint import NetworkSpec
from edgetune.models.text_classifier import make_text_classifier, read_config
from edgetune.steps.export import check

PICTURES = NetworkSpec(name="mine:net", num_classes=4, image_size=16, args={})


@torch.library.custom_op("edgetune_tests::bend", mutates_args=())
def bend(x: torch.Tensor) -> torch.Tensor:
    return x * x


bend.register_fake(torch.empty_like)


class Bent(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.point, self.head = nn.Conv2d(8, 16, 1), nn.Linear(16, 4)

    def forward(self, x):
        x = bend(torch.relu(self.norm(self.stem(x))))
        return self.head(torch.relu(self.point(x)).mean((2, 3)))


@pytest.fixture
def bent():
    """A network with an operator of the user's own, and two batches."""
    torch.manual_seed(0)
    network = Bent()
    for _ in range(20):
        network(torch.randn(16, 3, 16, 16))
    yield network.eval(), [torch.randn(8, 3, 16, 16) for _ in range(2)]
    TRANSLATIONS.pop(torch.ops.edgetune_tests.bend.default, None)


def test_a_wrong_translation_is_refused_and_the_layer_behind_it_named(bent, tmp_path):
    network, few = bent
    register_operator(torch.ops.edgetune_tests.bend.default, lambda x: op.Mul(x, x))
    export_onnx(network, PICTURES.example(), tmp_path / "right.onnx", opset=20)
    parity = check(network, PICTURES, tmp_path / "right.onnx", few)
    assert parity["samples"] == 16 and parity["max_difference"] < 1e-4
    register_operator(torch.ops.edgetune_tests.bend.default, lambda x: op.Add(x, x))
    export_onnx(network, PICTURES.example(), tmp_path / "wrong.onnx", opset=20)
    with pytest.raises(ExportError, match=r"is not the network: .* the first layer that diverges is point ") as caught:
        check(network, PICTURES, tmp_path / "wrong.onnx", few)
    assert "edgetune_tests.bend.default may be wrong" in caught.value.hint


def test_a_divergence_in_a_text_classifiers_layer_is_found_there(tmp_path):
    torch.manual_seed(0)
    config = read_config(str(write_encoder(tmp_path / "encoder", "distilbert")))
    network, path = make_text_classifier(3, config).eval(), tmp_path / "t.onnx"
    spec = NetworkSpec(name="transformers/x", num_classes=3, max_length=12, args={"config": config})
    export_onnx(network, spec.example(), path, opset=20, input_name="input_ids", max_length=12)
    few = [torch.randint(1, config["vocab_size"], (4, length)) for length in (7, 12)]
    check(network, spec, path, few)
    model = onnx.load(path)
    middle = [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul")][-1]
    weight = next(t for t in model.graph.initializer if t.name == middle.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(9), weight.name))
    onnx.save(model, path)
    with pytest.raises(ExportError, match=r"the first layer that diverges is encoder\.classifier "):
        check(network, spec, path, few)


class Cancelling(nn.Module):
    """The small difference of two large sums: where the order of additions is all that its outputs' digits tell."""

    def __init__(self):
        super().__init__()
        self.stem, self.one, self.other = nn.Conv2d(3, 64, 3), nn.Linear(64, 4), nn.Linear(64, 4)
        with torch.no_grad():
            self.other.load_state_dict(self.one.state_dict())
            for layer in (self.one, self.other):
                layer.weight *= 1e5
            self.other.weight += torch.randn(4, 64)

    def forward(self, x):
        features = torch.relu(self.stem(x)).mean((2, 3))
        return self.one(features) - self.other(features.flip(1).flip(1))


def test_what_a_network_s_own_rounding_explains_is_no_fault_and_what_is_more_is_one(tmp_path):
    torch.manual_seed(0)
    network, few = Cancelling().eval(), [torch.randn(8, 3, 16, 16) for _ in range(2)]
    path = tmp_path / "model.onnx"
    export_onnx(network, PICTURES.example(), path, opset=20)
    assert float_parity_problem(check_parity(network, path, few)) is not None
    check(network, PICTURES, path, few)
    with torch.no_grad():
        network.other.bias += 100 * float32_noise(network, few)
    with pytest.raises(ExportError, match="is not the network"):
        check(network, PICTURES, path, few)
