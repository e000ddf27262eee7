"""float16 files say what the float32 ones say, INT8 stays INT8, and what float16 cannot hold is refused or mended."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgetune.errors import ExportError
from edgetune.export.half import SMALLEST_SCALE, to_half
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_file_parity
from edgetune.models.zoo import make_network
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

EXAMPLE = torch.zeros(1, 3, 32, 32)


def batches():
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(4, 3, 32, 32, generator=rng) for _ in range(2)]


@pytest.fixture(scope="module", params=["float", "int8"])
def files(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    torch.manual_seed(0)
    network = make_network("torchvision/resnet18", 5, {}).eval()
    if request.param == "int8":
        network = quantize(network, EXAMPLE, load_target("jetson").scheme, batches)
    export_onnx(network, EXAMPLE, folder / "single.onnx", opset=20)
    made = onnx.load(folder / "single.onnx")
    to_half(made)
    onnx.save(made, folder / "half.onnx")
    return folder, made


def test_both_files_say_the_same(files):
    parity = check_file_parity(files[0] / "single.onnx", files[0] / "half.onnx", batches())
    # of values between two steps of INT8, float16 rounds some to the other one
    assert parity["mean_difference"] < 0.05 * parity["output_scale"]
    assert parity["max_difference"] < 0.25 * parity["output_scale"]


def test_ends_stay_float32_and_nothing_else_does(files):
    made = files[1]
    for value in (*made.graph.input, *made.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    assert [value.name for value in (*made.graph.input, *made.graph.output)] == ["image", "logits"]
    kinds = {tensor.data_type for tensor in made.graph.initializer}
    assert TensorProto.FLOAT not in kinds
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    floats = {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    assert floats == set()


def test_any_batch_runs(files):
    session = onnxruntime.InferenceSession(str(files[0] / "half.onnx"))
    assert session.run(None, {"image": np.zeros((3, 3, 32, 32), np.float32)})[0].shape == (3, 5)


def graph_of(nodes, constants, rank=2):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(rank)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def outputs(model, x):
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


@given(scale=st.floats(2.0**-26, 1.0, width=32), seed=st.integers(0, 50), per_channel=st.booleans())
def test_weights_behind_any_scale_keep_their_values(scale, seed, per_channel):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (3, 4), dtype=np.int8)
    scales = np.full(4, scale, np.float32) if per_channel else np.float32(scale)
    constants = {"w": weight, "s": scales, "z": np.zeros(4 if per_channel else (), np.int8)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=1),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    model = graph_of(nodes, constants)
    to_half(model)
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert after["s"].dtype == np.float16 and (after["s"] > 0).all()
    meant, made = weight * np.float64(scale), after["w"] * after["s"].astype(np.float64)
    assert np.abs(meant - made).max() <= max(127 * scale * 2**-10, SMALLEST_SCALE)


def test_a_weight_that_two_layers_read_is_rescaled_for_one_only():
    constants = {
        "w": np.full((3, 4), 100, np.int8), "z": np.int8(0),
        "small": np.float32(SMALLEST_SCALE / 10), "large": np.float32(0.5),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "small", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "large", "z"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("MatMul", ["x", "sum"], ["y"]),
    ]
    x, model = np.ones((2, 3), np.float32), graph_of(nodes, constants)
    before = outputs(model, x)
    to_half(model)
    assert np.allclose(outputs(model, x), before, rtol=1e-3)


def test_types_within_the_graph_follow():
    nodes = [
        helper.make_node("Constant", [], ["c"], value_float=2.0),
        helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(np.ones(3, np.float32))),
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT32),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "c"], ["m"]),
        helper.make_node("Add", ["m", "t"], ["n"]),
        helper.make_node("Clip", ["n", "low", "high"], ["y"]),
    ]
    model = graph_of(nodes, {"low": np.float32(0), "high": np.float32(6)})
    x = np.asarray([[1.5, -2, 9], [0, 1, 2]], np.float32)
    before = outputs(model, x)
    to_half(model)
    assert np.array_equal(outputs(model, x), before)


def test_scales_of_a_resize_stay_float32():
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["u"]),
        helper.make_node("Resize", ["u", "", "factors"], ["y"]),
    ]
    model = graph_of(nodes, {"axes": np.asarray([0, 1]), "factors": np.asarray([1, 1, 2, 2], np.float32)}, rank=4)
    to_half(model)
    assert outputs(model, np.ones((2, 3), np.float32)).shape == (1, 1, 4, 6)


def test_an_output_that_is_read_inside_too():
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["unused"])]
    model = graph_of(nodes, {})
    to_half(model)
    assert np.array_equal(outputs(model, np.ones((2, 3), np.float32)), np.ones((2, 3)))


def test_a_constant_that_float16_cannot_hold():
    model = graph_of([helper.make_node("Mul", ["x", "big"], ["y"])], {"big": np.float32(1e6)})
    with pytest.raises(ExportError, match="the constant big holds 1e\\+06; float16 ends at 65504"):
        to_half(model)


def test_branches_are_refused():
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["b"])], "b", [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )  # fmt: skip
    node = helper.make_node("If", ["true"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(ExportError, match="branches or loops"):
        to_half(graph_of([node], {"true": np.bool_(True)}))
