"""Weights alone in 8 or 4 bits: small files, nearly the same answers, refusals in words, a quiet terminal."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgetune.errors import QuantizationError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_file_parity
from edgetune.quantization.weight_only import store_weights

WIDTH = 96


def write_encoder(path, seed=0):
    """A table, two matrix products and a transposed Gemm: what an encoder is made of."""
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return (rng.normal(0, shape[0] ** -0.5, shape) * rng.uniform(0.1, 3, shape[-1])).astype(np.float32)

    tensors = {"table": weights(200, WIDTH), "a": weights(WIDTH, 2 * WIDTH), "b": weights(2 * WIDTH, WIDTH)}
    tensors |= {"head": weights(16, WIDTH), "axes": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("MatMul", ["x", "a"], ["y"]),
        helper.make_node("Relu", ["y"], ["z"]),
        helper.make_node("MatMul", ["z", "b"], ["u"]),
        helper.make_node("ReduceMean", ["u", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "head"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 16])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize(("kind", "size", "noise"), [("int8", 0.30, 0.05), ("int4", 0.23, 0.4)])
def test_answers_stay_close_in_a_small_file(tmp_path, kind, size, noise):
    source, path, again = write_encoder(tmp_path / "float.onnx"), tmp_path / "small.onnx", tmp_path / "again.onnx"
    store_weights(source, path, kind)
    store_weights(source, again, kind)
    assert path.read_bytes() == again.read_bytes()
    assert path.stat().st_size < size * source.stat().st_size
    ids = [torch.randint(0, 200, (4, 7), generator=torch.Generator().manual_seed(1))]
    parity = check_file_parity(source, path, ids)
    assert parity["max_difference"] < noise * parity["output_scale"]


def test_convolutions_have_a_step_for_each_output_channel(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 40),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network[2].weight[0] *= 100
    export_onnx(network, torch.zeros(1, 3, 12, 12), tmp_path / "float.onnx", opset=17)
    store_weights(tmp_path / "float.onnx", tmp_path / "small.onnx", "int8")
    model = onnx.load(tmp_path / "small.onnx")
    onnx.checker.check_model(model, full_check=True)
    steps = {len(t.float_data) or len(numpy_helper.to_array(t)) for t in model.graph.initializer if "steps" in t.name}
    assert steps == {32, 40}  # the first convolution is too small to be worth it
    parity = check_file_parity(tmp_path / "float.onnx", tmp_path / "small.onnx", [torch.rand(8, 3, 12, 12)])
    assert parity["max_difference"] < 0.05 * parity["output_scale"]


def test_what_has_no_such_weights_is_refused(tmp_path):
    torch.manual_seed(0)
    export_onnx(nn.Conv2d(3, 2, 1).eval(), torch.zeros(1, 3, 8, 8), tmp_path / "conv.onnx", opset=18)
    with pytest.raises(QuantizationError, match="no matrix product with constant weights to store in 4 bits"):
        store_weights(tmp_path / "conv.onnx", tmp_path / "x.onnx", "int4")
    with pytest.raises(QuantizationError, match="no weight to store in 8 bits"):
        store_weights(tmp_path / "conv.onnx", tmp_path / "x.onnx", "int8")


def test_the_root_logger_stays_as_it_was(tmp_path, capfd):
    handlers = list(logging.getLogger().handlers)
    store_weights(write_encoder(tmp_path / "float.onnx"), tmp_path / "small.onnx", "int4")
    assert logging.getLogger().handlers == handlers and capfd.readouterr().err == ""


def test_the_engine_opens_in_the_runtime(tmp_path):
    store_weights(write_encoder(tmp_path / "float.onnx"), tmp_path / "small.onnx", "int4")
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"ids": np.zeros((1, 3), np.int64)})[0].shape == (1, 16)
