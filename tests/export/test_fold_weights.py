"""Folding QuantizeLinear of constants leaves the outputs as they were."""

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgetune.export.fold_weights import fold_quantized_weights


@given(st.integers(1, 4), st.integers(1, 5), st.booleans(), st.integers(0, 100))
def test_folding(rows, columns, per_channel, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(rows, columns)).astype(np.float32)
    scale = np.full(rows, 0.01, np.float32) if per_channel else np.float32(0.01)
    zero = np.zeros(rows, np.int8) if per_channel else np.int8(0)
    constants = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in {"w": weight, "s": scale, "z": zero, "unused": weight}.items()
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=0),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, columns])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    x = rng.normal(size=(2, rows)).astype(np.float32)
    before = ReferenceEvaluator(model).run(None, {"x": x})[0]
    assert fold_quantized_weights(model) == 1
    onnx.checker.check_model(model)
    assert np.array_equal(ReferenceEvaluator(model).run(None, {"x": x})[0], before)
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored["q"] == TensorProto.INT8 and "w" not in stored and "unused" not in stored
