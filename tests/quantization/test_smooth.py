"""Smoothing changes no answer of the float network, folds into layer norms that it may, and helps against outliers."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgetune.errors import QuantizationError
from edgetune.export.parity import check_file_parity
from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.smooth import smooth_activations

WIDTH = 64


def write_network(path, residual=False):
    """A layer norm whose channel 3 is an outlier, two products that read it, and maybe an addition too."""
    rng = np.random.default_rng(0)
    scale = np.ones(WIDTH, np.float32)
    scale[3] = 60.0
    tensors = {"scale": scale, "shift": rng.normal(size=WIDTH).astype(np.float32)}
    tensors |= {name: rng.normal(0, 0.1, (WIDTH, WIDTH)).astype(np.float32) for name in ("a", "b")}
    for weight in (tensors["a"], tensors["b"]):
        weight[3] /= 60.0
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["n"]),
        helper.make_node("MatMul", ["n", "a"], ["p"]),
        helper.make_node("MatMul", ["n", "b"], ["q"]),
        helper.make_node("Mul", ["p", "q"], ["y" if not residual else "m"]),
        *([helper.make_node("Add", ["m", "n"], ["y"])] if residual else []),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def batches(seed=1):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(16, WIDTH, generator=rng) for _ in range(3)]


@pytest.mark.parametrize("residual", [False, True])
def test_the_float_network_stays_and_the_quantized_one_is_nearer_to_it(tmp_path, residual):
    source, smooth = write_network(tmp_path / "float.onnx", residual), tmp_path / "smooth.onnx"
    assert smooth_activations(source, smooth, batches()) == 1
    onnx.checker.check_model(onnx.load(smooth), full_check=True)
    assert [node.op_type for node in onnx.load(smooth).graph.node].count("Mul") == (2 if residual else 1)
    parity = check_file_parity(source, smooth, batches(2))
    assert parity["max_difference"] < 1e-4 * parity["output_scale"]
    noise = {}
    for file in (source, smooth):
        quantize_weights(file, tmp_path / "q.onnx", per_channel=True, reduce_range=False)
        noise[file] = check_file_parity(source, tmp_path / "q.onnx", batches(2))["mean_difference"]
    assert noise[smooth] < 0.5 * noise[source]


def test_calibration_without_samples_or_with_nan_is_refused(tmp_path):
    source = write_network(tmp_path / "float.onnx")
    with pytest.raises(QuantizationError, match="no samples"):
        smooth_activations(source, tmp_path / "s.onnx", [])
    with pytest.raises(QuantizationError, match="NaN or infinity"):
        smooth_activations(source, tmp_path / "s.onnx", [torch.full((1, WIDTH), float("nan"))])
