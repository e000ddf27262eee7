"""Files that take pixels say what the files before said of normalised floats; nothing else is touched."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgetune_runtime.preprocessing import Preprocessing
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgetune.data.preprocessing import make_preprocessing
from edgetune.errors import ExportError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_pixel_parity
from edgetune.export.pixels import take_pixels
from edgetune.models.zoo import make_network
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

SIDE = 32
STEPS = Preprocessing(make_preprocessing(SIDE))


def pixels(count=4, height=SIDE, width=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def write_network(height, width, *, seed=0, batch="batch", name="image", quantized=False):
    """A padded convolution with ReLU and a matrix; in INT8 with the input's QuantizeLinear in front."""
    rng = np.random.default_rng(seed)
    constants = {
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "m": rng.normal(size=(4, 5)).astype(np.float32),
        "s": np.float32(0.02), "z": np.uint8(120),
    }  # fmt: skip
    front = [
        helper.make_node("QuantizeLinear", [name, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
    ]
    nodes = [
        *(front if quantized else []),
        helper.make_node("Conv", ["dq" if quantized else name, "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 5])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def outputs(model, array, optimised=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def with_pixels(model, steps=STEPS):
    made = onnx.ModelProto()
    made.CopyFrom(model)
    take_pixels(made, steps.factor, steps.offset)
    return made


finite = st.floats(-3, 3, allow_nan=False)


@settings(max_examples=40)
@given(
    st.integers(1, 40), st.integers(1, 40), st.tuples(finite, finite, finite),
    st.tuples(*[st.floats(0.01, 5)] * 3), st.sampled_from([1.0, 1 / 255]), st.booleans(), st.booleans(),
    st.integers(1, 3),
)  # fmt: skip
def test_any_normalisation_and_size_gives_what_floats_gave(
    height, width, mean, std, scale, quantized, optimised, count
):
    side = max(height, width)
    description = {**make_preprocessing(side), "crop": [height, width], "mean": mean, "std": std, "scale": scale}
    steps = Preprocessing(description)
    before = write_network(height, width, seed=height, quantized=quantized)
    array = pixels(count, height, width, seed=width)
    expected = outputs(before, steps.normalise(array), optimised)
    found = outputs(with_pixels(before, steps), array, optimised)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_real_networks_say_the_same_bit_for_bit(kind, tmp_path):
    torch.manual_seed(0)
    network = make_network("torchvision/resnet18", 5, {}).eval()
    example = torch.zeros(1, 3, SIDE, SIDE)
    images = [torch.from_numpy(STEPS.normalise(pixels(8)))]
    said = quantize(network, example, load_target("x86-cpu").scheme, lambda: images) if kind == "int8" else network
    export_onnx(said, example, tmp_path / "before.onnx", opset=20)
    onnx.save(with_pixels(onnx.load(tmp_path / "before.onnx")), tmp_path / "after.onnx")
    batches = [torch.from_numpy(pixels(4, seed=seed)) for seed in (1, 2)]
    parity = check_pixel_parity(tmp_path / "before.onnx", tmp_path / "after.onnx", STEPS.normalise, batches)
    assert parity["max_difference"] == 0.0 and parity["samples"] == 8
    assert parity["output_scale"] > 0
    torchs = check_pixel_parity(said, tmp_path / "after.onnx", STEPS.normalise, batches)
    limit = 1e-4 if kind == "float" else 0.2 * torchs["output_scale"] + 0.02
    assert torchs["max_difference"] < limit


def test_the_signature_is_told_and_the_cast_comes_first():
    before = write_network(8, 6)
    made = with_pixels(before, Preprocessing({**make_preprocessing(8), "crop": [8, 6]}))
    (image,) = made.graph.input
    tensor = image.type.tensor_type
    assert image.name == "image" and tensor.elem_type == TensorProto.UINT8
    assert [one.dim_param or one.dim_value for one in tensor.shape.dim] == ["batch", 8, 6, 3]
    assert [node.op_type for node in made.graph.node if "image" in node.input] == ["Cast"]
    assert [node.op_type for node in made.graph.node][:4] == ["Cast", "Transpose", "Mul", "Add"]
    assert list(made.graph.node)[5:] == list(before.graph.node)[1:]
    assert (
        made.SerializeToString()
        == with_pixels(before, Preprocessing({**make_preprocessing(8), "crop": [8, 6]})).SerializeToString()
    )


def test_a_batch_of_one_and_names_in_use_are_kept():
    model = write_network(8, 8, batch=1)
    model.graph.node[1].output[0] = model.graph.node[2].input[0] = "image_cast"
    made = with_pixels(model)
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    names = [name for node in made.graph.node for name in node.output]
    assert len(names) == len(set(names)) and "image_cast" in names
    steps = Preprocessing(make_preprocessing(8))
    array = pixels(1, 8, 8)
    np.testing.assert_array_equal(outputs(made, array), outputs(model, steps.normalise(array)))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda graph: graph.input.add().CopyFrom(
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])), r"image float \[batch, 3, 8, 8\], more"),
        (lambda graph: graph.input[0].CopyFrom(
            helper.make_tensor_value_info("image", TensorProto.INT64, ["n", "length"])), r"image int64 \[n, length\]"),
        (lambda graph: graph.input[0].CopyFrom(
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8])), r"float \[n, 1, 8, 8\]"),
        (lambda graph: graph.input[0].CopyFrom(
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])), r"float \[n, 3, h, w\]"),
        (lambda graph: graph.node[0].attribute.append(
            helper.make_attribute("body", helper.make_graph([], "b", [], []))), "branches or loops"),
    ],
)  # fmt: skip
def test_other_graphs_are_refused(edit, message):
    model = write_network(8, 8)
    edit(model.graph)
    with pytest.raises(ExportError, match=message):
        with_pixels(model)


def test_twice_is_refused():
    with pytest.raises(ExportError, match=r"image uint8 \[batch, 8, 8, 3\]"):
        with_pixels(with_pixels(write_network(8, 8)))
