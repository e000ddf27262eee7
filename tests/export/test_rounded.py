"""Files with rounded weights stay near what their scheme explains, and a planted mistake is seen."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgetune.export.parity import check_rounded_parity, rounded_parity_problem
from edgetune.export.rounded import symmetric, write_rounded
from edgetune.quantization.dynamic import quantize_weights
from edgetune.quantization.weight_only import store_weights
from edgetune.steps.quantize_dynamic import LARGEST
from edgetune.steps.store_weights import ROUNDING

WIDTH = 96


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A table, two matrix products, one of them read twice, and a transposed Gemm, with unlike channels."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.normal(0, shape[0] ** -0.5, shape) * rng.uniform(0.1, 3, shape[-1])).astype(np.float32)

    tensors = {"table": weights(200, WIDTH), "a": weights(WIDTH, 2 * WIDTH), "b": weights(2 * WIDTH, WIDTH)}
    tensors |= {"c": weights(WIDTH, 2 * WIDTH), "head": weights(16, WIDTH), "axes": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"], "g"),
        helper.make_node("MatMul", ["x", "a"], ["y"], "m1"),
        helper.make_node("MatMul", ["x", "c"], ["w"], "m2"),
        helper.make_node("Mul", ["y", "w"], ["p"], "p"),
        helper.make_node("Relu", ["p"], ["z"], "r"),
        helper.make_node("MatMul", ["z", "b"], ["u"], "m3"),
        helper.make_node("ReduceMean", ["u", "axes"], ["m"], "mean", keepdims=0),
        helper.make_node("Gemm", ["m", "head"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 16])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("rounded") / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def parity(source, path, rounding, activations):
    reference = path.with_name("reference.onnx")
    write_rounded(source, reference, rounding, activations=activations)
    rng = torch.Generator().manual_seed(1)
    ids = [torch.randint(0, 200, (8, length), generator=rng) for length in (5, 9)]
    return check_rounded_parity(source, reference, path, ids)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("reduce_range", [True, False])
def test_dynamic_files_are_what_rounding_says(source, tmp_path, per_channel, reduce_range):
    path = tmp_path / "int8.onnx"
    quantize_weights(source, path, per_channel=per_channel, reduce_range=reduce_range)
    found = parity(source, path, symmetric(LARGEST[reduce_range], per_channel=per_channel), True)
    assert found["rounding"] > 0 and found["rms_difference"] < 1.5 * found["rounding"]
    assert rounded_parity_problem(found) is None


@pytest.mark.parametrize(("kind", "near"), [("int8", 0.6), ("int4", 0.6)])
def test_files_with_stored_weights_are_what_rounding_says(source, tmp_path, kind, near):
    store_weights(source, tmp_path / "small.onnx", kind)
    found = parity(source, tmp_path / "small.onnx", ROUNDING[kind], False)
    assert found["rounding"] > 0 and found["rms_difference"] < near * found["rounding"]
    assert rounded_parity_problem(found) is None


@pytest.mark.parametrize("factor", [1.3, np.nan])
def test_a_planted_mistake_in_one_weight_is_seen(source, tmp_path, factor):
    path = tmp_path / "planted.onnx"
    store_weights(source, path, "int8")
    model = onnx.load(path)
    steps = next(
        tensor for tensor in model.graph.initializer if tensor.name.startswith("b_of_int8") and "steps" in tensor.name
    )
    steps.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(steps) * np.float32(factor), steps.name))
    onnx.save(model, path)
    assert "what rounding makes" in rounded_parity_problem(parity(source, path, ROUNDING["int8"], False))
