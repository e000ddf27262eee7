"""Dynamic INT8: products in integers, a quarter of the size, nearly the same answers, and refusals in words."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetune.errors import QuantizationError
from edgetune.quantization.dynamic import quantize_weights

WIDTH = 64


def write_mlp(path, layers=3, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32) for _ in range(layers)]
    nodes = [
        node
        for i in range(layers)
        for node in (
            helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]),
            helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]),
        )
    ]
    shape = ["batch", WIDTH]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x0": inputs})[0]


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("reduce_range", [True, False])
def test_answers_stay_close_in_a_quarter_of_the_size(tmp_path, per_channel, reduce_range):
    source, path = write_mlp(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    quantize_weights(source, path, per_channel=per_channel, reduce_range=reduce_range)
    inputs = np.random.default_rng(1).normal(size=(8, WIDTH)).astype(np.float32)
    expected, actual = run(source, inputs), run(path, inputs)
    assert np.abs(actual - expected).max() < (0.4 if reduce_range or not per_channel else 0.2) * expected.std()
    assert path.stat().st_size < 0.35 * source.stat().st_size
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("MatMulInteger") == 3 and "MatMul" not in kinds
    weights = [numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer if t.data_type == TensorProto.INT8]
    largest = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest <= 64 if reduce_range else 120 < largest <= 127


def test_the_same_file_gives_the_same_bytes(tmp_path):
    source = write_mlp(tmp_path / "float.onnx")
    for name in ("a", "b"):
        quantize_weights(source, tmp_path / name, per_channel=True, reduce_range=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_to_quantize(tmp_path):
    with pytest.raises(QuantizationError, match="no matrix product"):
        quantize_weights(
            write_mlp(tmp_path / "f.onnx", layers=0), tmp_path / "q.onnx", per_channel=True, reduce_range=False
        )
