"""An engine's operators, asked of the libraries themselves, under the names of the network's layers."""

import numpy as np
import onnx
import pytest
from edgetune_runtime.errors import LibraryError
from edgetune_runtime.profile import LEAST, middle_half, profile
from onnx import TensorProto, helper, numpy_helper

from edgetune.measure.engine_layers import named_layers

LAYERS = ["stem.0", "stem.1", "head"]


@pytest.fixture
def engine(tmp_path):
    """Two convolutions with ReLU, whose weights bear the names of modules, and a linear layer."""
    rng = np.random.default_rng(0)
    sizes = {"stem.0.weight": (32, 3, 3, 3), "stem.1.weight": (32, 32, 3, 3), "head.weight": (4, 32)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), name) for name, s in sizes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "stem.0.weight"], ["conv"], name="node_conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="node_relu"),
        helper.make_node("Conv", ["relu", "stem.1.weight"], ["conv_1"], name="node_conv_1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv_1"], ["relu_1"], name="node_relu_1"),
        helper.make_node("GlobalAveragePool", ["relu_1"], ["mean"], name="node_mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], name="node_flat"),
        helper.make_node("Gemm", ["flat", "head.weight"], ["logits"], name="node_linear", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], [logits], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "engine.onnx")
    return tmp_path / "engine.onnx"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_a_library_runs_is_told_under_the_modules_names(engine, backend):
    pytest.importorskip(backend)
    feed = {"image": np.zeros((1, 3, 32, 32), np.float32)}
    told = profile(engine, {"backend": backend}, 1, feed, seconds=0.1)
    rows = named_layers(told, engine)
    layers = {row["layer"]: row["ms"] for row in rows if row["layer"] is not None}
    assert list(layers) == LAYERS
    assert layers["stem.1"] > layers["head"]  # 9,437,184 multiplications against 128
    assert all(row["ms"] >= 0 for row in rows)


def test_a_linear_layer_with_another_weight_is_known_by_its_bias(tmp_path):
    rng = np.random.default_rng(0)
    constants = [("val_1", (8, 8)), ("layer.0.query.bias", (8,)), ("val_2", (8, 8))]
    nodes = [
        helper.make_node("MatMul", ["x", "val_1"], ["val_3"], name="node_MatMul_3"),
        helper.make_node("Add", ["val_3", "layer.0.query.bias"], ["linear"], name="node_linear"),
        helper.make_node("MatMul", ["linear", "val_2"], ["y"], name="node_MatMul_4"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in constants],
    )
    path = tmp_path / "engine.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    told = profile(path, {}, 1, {"x": np.zeros((1, 4, 8), np.float32)}, seconds=0.02)
    assert [row["layer"] for row in named_layers(told, path) if row["layer"]] == ["layer.0.query", "MatMul_4"]


def test_a_file_of_another_format_has_the_librarys_own_names(engine):
    told = [{"node": "node_conv_token_3", "operator": "QLinearConv", "ms": 1.0}]
    assert named_layers(told, engine.with_suffix(".ort"))[0]["layer"] == "conv"


def test_a_library_that_does_not_tell_says_so(engine, monkeypatch):
    monkeypatch.delattr("edgetune_runtime.session_onnxruntime.open_profiled")
    with pytest.raises(LibraryError, match="is not asked"):
        profile(engine, {}, 1, {})


def test_the_middle_half_leaves_out_what_is_rare():
    assert middle_half([1.0, 2.0, 2.0, 900.0]) == 2.0
    assert middle_half([3.0]) == 3.0 and LEAST >= 20
