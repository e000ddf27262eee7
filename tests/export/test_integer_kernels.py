"""Files say the same with the operators that have integer kernels, and those run in integers."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from edgetune.export.integer_kernels import add_for_hard_sigmoid, average_globally
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme
from edgetune.target import load_target

SIZE = 16
EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
X86 = load_target("x86-cpu").scheme


class Block(nn.Module):
    """As MobileNetV3 has them: hard-swish, squeeze-and-excitation with a hard-sigmoid, an average at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 5, 1)
        self.squeeze, self.excite = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.hardswish(self.first(x))
        gate = nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(self.pool(x)))))
        return self.last(self.pool(x * gate)).flatten(1)


def samples() -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    return [3 * torch.randn(16, 3, SIZE, SIZE, generator=rng) for _ in range(2)]


def exported(path, scheme: QuantizationScheme) -> tuple[Counter, torch.fx.GraphModule]:
    torch.manual_seed(0)
    graph = quantize(Block().eval(), EXAMPLE, scheme, samples)
    export_onnx(graph, EXAMPLE, path, opset=20)
    return Counter(node.op_type for node in onnx.load(path).graph.node), graph


def kernels(path) -> Counter:
    """The operators that ONNX Runtime runs, after its own optimization."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_hard_swish_gates_and_averages_run_in_integers_and_say_the_same(tmp_path):
    found, graph = exported(tmp_path / "block.onnx", X86)
    assert not {"HardSigmoid", "HardSwish", "ReduceMean"} & set(found)
    assert found["GlobalAveragePool"] == 2
    parity = check_parity(graph, tmp_path / "block.onnx", samples())
    assert parity["agreement"] == 1.0
    assert parity["max_difference"] < 0.05 * parity["output_scale"]
    run = kernels(tmp_path / "block.onnx")
    assert run["QLinearAdd"] == run["QLinearMul"] == run["QLinearGlobalAveragePool"] == 2
    assert run["QuantizeLinear"] == 1  # the image


def test_where_rounding_does_not_cut_at_zero_the_hard_sigmoid_stays(tmp_path):
    found, graph = exported(tmp_path / "block.onnx", replace(X86, activation="int8"))
    assert found["HardSigmoid"] == 2
    assert check_parity(graph, tmp_path / "block.onnx", samples())["agreement"] == 1.0


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(1e-3, 0.2),
    zero=st.integers(0, 255),
    top=st.floats(0.3, 1.0),
)
def test_the_addition_is_the_hard_sigmoid_of_every_integer(scale, zero, top):
    values = np.arange(256, dtype=np.uint8)
    before = hard_sigmoid_model(scale, zero, top / 255, 0)
    expected = ReferenceEvaluator(before).run(None, {"x": values})[0]
    assert add_for_hard_sigmoid(before) == 1
    onnx.checker.check_model(before, full_check=True)
    found = ReferenceEvaluator(before).run(None, {"x": values})[0]
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1  # ties may round apart
    assert np.mean(found != expected) < 0.1


@pytest.mark.parametrize(("scale", "zero", "alpha"), [(1.2 / 255, 0, 1 / 6), (1 / 255, 3, 1 / 6), (1 / 255, 0, 0.2)])
def test_a_hard_sigmoid_that_no_addition_replaces_stays(scale, zero, alpha):
    model = hard_sigmoid_model(0.05, 128, scale, zero, alpha)
    assert add_for_hard_sigmoid(model) == 0
    assert "HardSigmoid" in {node.op_type for node in model.graph.node}


def hard_sigmoid_model(scale: float, zero: int, out_scale: float, out_zero: int, alpha: float = 1 / 6):
    """DequantizeLinear, HardSigmoid, QuantizeLinear on uint8 [256]."""
    constants = {"s": np.float32(scale), "z": np.uint8(zero), "os": np.float32(out_scale), "oz": np.uint8(out_zero)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["f"]),
        helper.make_node("HardSigmoid", ["f"], ["h"], alpha=alpha, beta=0.5),
        helper.make_node("QuantizeLinear", ["h", "os", "oz"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [256])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [256])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("shape", "axes", "keep", "changed"),
    [
        ((2, 3, 4, 5), (2, 3), 1, 1),
        ((2, 3, 4, 5), (-1, -2), 1, 1),
        ((2, 3, 4, 5), (2, 3), 0, 0),
        ((2, 3, 4, 5), (1, 2), 1, 0),
        ((2, 3, 4, 5, 2), (2, 3), 1, 0),
        ((2, 3, 4, 5), (), 1, 0),
    ],
)
def test_averages_of_height_and_width_alone_are_written_as_pooling(shape, axes, keep, changed):
    inputs = ["x", "axes"] if axes else ["x"]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", inputs, ["y"], keepdims=keep)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")] if axes else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": values})[0]
    assert average_globally(model) == changed
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"x": values})[0], expected, rtol=1e-5, atol=1e-6)
    assert len(model.graph.initializer) == (1 if axes and not changed else 0)
