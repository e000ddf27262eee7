"""The C++ runtime against the Python runtime, on the same bundles."""

import numpy as np
import onnx
import onnxruntime
import pytest
from edgetune_runtime import Engine
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgetune.backends.ort_format import convert
from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import pack_tar, write_golden

SIDE = 8


def batch(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, SIDE, SIDE), dtype=np.float32)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rewrite(bundle, **changes):
    """Change the manifest and renew its digests."""
    content = {key: value for key, value in read_manifest(bundle).items() if key not in ("schema", "files")}
    write_manifest(bundle, {**content, **changes})
    return bundle


def write_quantized(path, batch_size="batch"):
    """A convolution with uint8 activations and int8 weights, as edgetune writes them; then pooling and a matrix."""
    rng = np.random.default_rng(3)
    constants = {
        "scale": np.float32(0.03), "zero": np.uint8(128),
        "weight": rng.integers(-127, 128, (16, 3, 3, 3), dtype=np.int8),
        "weight_scale": rng.uniform(0.001, 0.01, 16).astype(np.float32), "weight_zero": np.zeros(16, np.int8),
        "matrix": rng.normal(size=(16, 4)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=0),
        helper.make_node("Conv", ["dq", "w"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("QuantizeLinear", ["relu", "scale", "zero"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "scale", "zero"], ["dq2"]),
        helper.make_node("GlobalAveragePool", ["dq2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch_size, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch_size, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("kind", ["float", "quantized", "ort"])
def test_outputs_are_those_of_python_bit_for_bit(bundle, open_engine, kind, count):
    if kind != "float":
        write_quantized(bundle / "engine.onnx")
        rewrite(bundle, golden=None)
    if kind == "ort":  # and without what ONNX Runtime keeps between runs
        convert(bundle / "engine.onnx", bundle)
        (bundle / "engine.onnx").unlink()
        session = {"threads": 1, "arena": False, "memory_pattern": False}
        rewrite(bundle, engine={"file": "engine.ort", "precision": "int8"}, session=session)
    with Engine.open(bundle) as python:
        expected = python.run(batch(count))
    engine = open_engine(bundle)
    np.testing.assert_array_equal(engine.run(batch(count)), expected)
    assert expected.std() > 0 and engine.labels == ["red", "green", "blue", "grey"] and engine.side == (SIDE, SIDE)


def test_a_tar_gives_what_its_folder_gives(bundle, open_engine, tmp_path):
    pack_tar(bundle, tmp_path / "bundle.tar")
    np.testing.assert_array_equal(open_engine(tmp_path / "bundle.tar").run(batch(3)), open_engine(bundle).run(batch(3)))


def test_an_engine_for_one_sample_takes_a_batch_one_by_one(bundle, open_engine):
    write_quantized(bundle / "engine.onnx", batch_size=1)
    shapes = {"inputs": [1, 3, SIDE, SIDE], "outputs": [1, 4]}
    names = {"inputs": "image", "outputs": "logits"}
    rewrite(
        bundle,
        golden=None,
        **{key: [{"name": names[key], "shape": shape, "dtype": "float32"}] for key, shape in shapes.items()},
    )
    with Engine.open(bundle) as python:
        expected = np.concatenate([python.run(batch(3)[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(open_engine(bundle).run(batch(3)), expected)


@given(width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 5))
def test_predictions_are_those_of_python(bundle, library, open_engine, width, height, seed):
    image = picture(height, width, seed)
    with Engine.open(bundle, self_test=False) as python:
        expected = python.predict(image, top=4)
    engine = open_engine(bundle)
    found = engine.predict(image, top=4)
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], rel=1e-13)
    assert engine.predict(image, top=2) == found[:2] and engine.predict(image, top=9) == found


@pytest.mark.parametrize(("classes", "tolerance"), [(2, 1e-13), (64, 1e-13), (65, 1e-6), (1000, 1e-6)])
def test_few_and_many_classes_are_ranked_as_python_ranks_them(bundle, engine_writer, open_engine, classes, tolerance):
    """Above 64 classes Python computes in float32, and so differs in the last digits."""
    weight = np.random.default_rng(1).standard_normal((3, classes), dtype=np.float32)
    weight[:, -1] = weight[:, 0]  # a tie: the first of the two comes first
    engine_writer(bundle / "engine.onnx", weight)
    outputs = [{"name": "logits", "shape": ["batch", classes], "dtype": "float32"}]
    labels = [str(i) for i in range(classes)]
    rewrite(bundle, labels=labels, outputs=outputs, golden=None, temperature=1.7)
    with Engine.open(bundle) as python:
        expected = python.predict(picture(20, 30), top=classes)
    found = open_engine(bundle).predict(picture(20, 30), top=classes)
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], rel=tolerance)


def test_the_temperature_softens_probabilities(change, open_engine):
    sharp = open_engine(change(lambda m: m.update(temperature=1))).predict(picture(9, 9))
    soft = open_engine(change(lambda m: m.update(temperature=2.5))).predict(picture(9, 9))
    assert [label for label, _ in sharp] == [label for label, _ in soft] and sharp[0][1] > soft[0][1]
    assert sum(p for _, p in soft) == pytest.approx(1)


def test_the_self_test_measures_the_difference(bundle, open_engine):
    with Engine.open(bundle) as python:
        assert open_engine(bundle).self_test() == pytest.approx(python.self_test(), rel=1e-6)
        inputs = batch(2, seed=1)
        inputs[0, 0] += 3
        inputs[1, 2] += 3
        write_golden(bundle, inputs, python.run(inputs) + np.float32(0.25))
    rewrite(bundle, golden={"file": "golden.npz", "atol": 0.3, "agreement": "top1"})
    assert open_engine(bundle).self_test() == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize(("shift", "message"), [(0.5, "0 of 2 .* differ by up to 0.5"), (np.nan, "self-test failed")])
def test_a_device_that_computes_otherwise_is_noticed(bundle, open_engine, failed, shift, message):
    inputs = batch(2)
    with Engine.open(bundle) as python:
        outputs = python.run(inputs)
    write_golden(bundle, inputs, outputs + np.float32(shift))
    rewrite(bundle)
    with pytest.raises(failed, match=message) as problem:
        open_engine(bundle)
    assert problem.value.code == 1
    open_engine(bundle, no_self_test=1)


def test_another_label_fails_the_self_test(bundle, open_engine, failed):
    inputs = batch(2)
    write_golden(bundle, inputs, np.eye(4, dtype=np.float32)[[3, 3]] * 9)
    rewrite(bundle, golden={"file": "golden.npz", "atol": 100.0, "agreement": "top1"})
    with pytest.raises(failed, match="2 of 2 golden samples get another label"):
        open_engine(bundle)


def test_outputs_that_are_no_numbers_are_an_error(bundle, engine_writer, open_engine, failed):
    engine_writer(bundle / "engine.onnx", np.full((3, 4), np.inf, dtype=np.float32))
    rewrite(bundle, golden=None)
    with pytest.raises(failed, match="no finite number") as problem:
        open_engine(bundle).predict(picture(9, 9))
    assert problem.value.code == 3


def test_the_c_interface_refuses_what_does_not_fit(bundle, library, open_engine, failed):
    engine = open_engine(bundle)
    room = np.empty(100, dtype=np.float32)
    calls = [
        (library.edgetune_open(None, None, None), "engine is a null pointer"),
        (library.edgetune_run(engine.handle, room.ctypes.data, 26, room.ctypes.data, 100), "room for 100 values"),
        (library.edgetune_run(engine.handle, room.ctypes.data, 2**63, room.ctypes.data, 100), "room for 100 values"),
        (library.edgetune_run(engine.handle, room.ctypes.data, 0, room.ctypes.data, 100), "the batch is empty"),
        (library.edgetune_run(None, room.ctypes.data, 1, room.ctypes.data, 100), "engine is a null pointer"),
        (library.edgetune_self_test(None, None), "engine is a null pointer"),
    ]
    for code, _ in calls:
        assert code == 2
    assert library.edgetune_last_error() == b"engine is a null pointer"
    assert library.edgetune_run(engine.handle, room.ctypes.data, 26, room.ctypes.data, 100) == 2
    assert b"room for 100 values, 26 times 4 are needed" in library.edgetune_last_error()
    with pytest.raises(failed, match="top is 0"):
        engine.predict(picture(9, 9), top=0)
    assert library.edgetune_label(engine.handle, 4) is None and library.edgetune_label_count(None) == 0
    library.edgetune_close(None)


def test_an_engine_that_onnx_runtime_reads_in_place_stays_in_memory(bundle, open_engine):
    """ONNX Runtime's own format, and the configuration that has it keep no copy of its own."""
    classes = 5000
    bias = np.random.default_rng(0).standard_normal(classes).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
            helper.make_node("Add", ["column", "bias"], ["logits"]),
        ],
        "added",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(bias, "bias"), numpy_helper.from_array(np.array([1]), "last")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), bundle / "a.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(bundle / "engine.onnx")
    options.add_session_config_entry("session.save_model_format", "ORT")
    session = onnxruntime.InferenceSession(str(bundle / "a.onnx"), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": batch(2)})[0]
    direct = {f"session.use_ort_model_bytes_{key}": "1" for key in ("directly", "for_initializers")}
    rewrite(
        bundle,
        golden=None,
        labels=[str(i) for i in range(classes)],
        outputs=[{"name": "logits", "shape": ["batch", classes], "dtype": "float32"}],
        session={"threads": 1, "config": {"session.load_model_format": "ORT", **direct}},
    )
    engine = open_engine(bundle)
    size = (bundle / "engine.onnx").stat().st_size
    others = [np.full(size - drop, 85, dtype=np.uint8) for drop in range(0, 2000, 50)]  # take what was freed
    np.testing.assert_array_equal(engine.run(batch(2)), expected)
    assert others


@pytest.mark.parametrize("threads", [-1, 1025, 1, 2])
def test_threads(bundle, open_engine, failed, threads):
    if not 0 < threads <= 1024:
        with pytest.raises(failed, match=f"threads is {threads}"):
            open_engine(bundle, threads=threads)
    else:
        np.testing.assert_allclose(
            open_engine(bundle, threads=threads).run(batch(2)), open_engine(bundle).run(batch(2))
        )
