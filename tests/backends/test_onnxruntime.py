"""ONNX Runtime as a backend: its options, its own format, its providers and the oldest release that loads an engine."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from edgetune_runtime.errors import LibraryError
from edgetune_runtime.session import open_session
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgetune.backends import onnxruntime as backend
from edgetune.backends.ort_format import OPERATORS
from edgetune.errors import BackendError, TargetError
from edgetune.inference import session_settings
from edgetune.target import load_target

TARGET = load_target("x86-cpu-novnni")


def with_options(**options):
    return replace(TARGET, backend_options=options)


@pytest.fixture
def model(tmp_path):
    """A convolution between QuantizeLinear and DequantizeLinear, signed as Arm has it."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.02), "zero": np.int8(0), "sums": np.float32(0.05),
        "weight": rng.integers(-127, 128, (8, 3, 3, 3), dtype=np.int8), "by": np.full(8, 0.01, np.float32),
        "zeros": np.zeros(8, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weight", "by", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["d", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "sums", "zero"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "sums", "zero"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8, 8, 8])
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [image], [logits], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_its_own_format_computes_the_same_and_names_its_operators(model, tmp_path):
    folder = tmp_path / "engine"
    folder.mkdir()
    options = {"format": "ort", "arena": False, "session.intra_op.allow_spinning": "0"}
    session = backend.compile(model, folder, threads=1, options=options, min_runtime="1.18")
    assert session == {
        "threads": 1, "graph_optimization": "all", "arena": False, "config": {"session.intra_op.allow_spinning": "0"}
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {"engine.ort", OPERATORS}
    operators = (folder / OPERATORS).read_text()
    assert "QLinearConv" in operators and str(tmp_path) not in operators
    images = np.random.default_rng(1).standard_normal((2, 3, 8, 8), dtype=np.float32)
    # x86 computes signed activations in floats unless it is told not to, which the conversion has done.
    integers = {"config": {"session.qdqisint8allowed": "1"}}
    expected = open_session(model, integers).run(None, {"image": images})[0]
    for engine in (folder / "engine.ort", (folder / "engine.ort").read_bytes()):
        found = open_session(engine, session).run(None, {"image": images})[0]
        np.testing.assert_array_equal(found, expected)


def test_a_file_that_cannot_be_converted_is_named(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x0a\x12\x03abc")
    with pytest.raises(BackendError, match="cannot convert"):
        backend.compile(tmp_path / "m.onnx", tmp_path, threads=1, options={"format": "ort"})


def test_a_file_newer_than_the_oldest_release_is_refused(model, tmp_path):
    content = onnx.load(model)
    content.ir_version = 11
    onnx.save(content, model)
    with pytest.raises(BackendError, match=r"opset 17 and format 11, ONNX Runtime 1\.18 loads up to 21 and 10"):
        backend.compile(model, tmp_path, threads=1, options={}, min_runtime="1.18")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tflite"}, '`format` cannot be "tflite"'),
        ({"provider": "npu"}, '`provider` cannot be "npu"'),
        ({"provider": ["cpu"]}, "`provider` cannot be"),
        ({"arena": 1}, "`arena` cannot be"),
        ({"areno": True}, "no option `areno`"),
        ({"format": "ort", "provider": "xnnpack"}, "not for another provider"),
    ],
)
def test_options_that_are_not_known_are_refused(options, message):
    with pytest.raises(TargetError, match=message) as caught:
        backend.check_options(with_options(**options))
    assert caught.value.hint


@pytest.mark.parametrize(("changes", "message"), [({"min_runtime": "0.9"}, "no release"), ({"opset": 22}, "too new")])
def test_releases_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(TargetError, match=message):
        backend.check_options(replace(TARGET, **changes))


def test_known_options_pass():
    backend.check_options(TARGET)
    backend.check_options(with_options(**{"format": "ort", "arena": False, "session.disable_prepacking": "1"}))


def test_a_provider_that_is_not_there_is_told_before_and_when_opened(model):
    """Wheels of PyPI for Linux have no XNNPACK."""
    reason = backend.unavailable_reason(with_options(provider="xnnpack"))
    assert "has no provider xnnpack, it has cpu" in reason
    with pytest.raises(LibraryError, match="no provider xnnpack"):
        open_session(model, {"provider": "xnnpack"})


def test_a_provider_that_does_not_start_is_no_provider(model, monkeypatch):
    """ONNX Runtime would warn and run on the CPU."""
    import onnxruntime as ort

    have = [*ort.get_available_providers(), "CUDAExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: have)
    with pytest.raises((LibraryError, ValueError), match=r"does not start|not in available provider"):
        open_session(model, {"provider": "cuda"})


def test_arena_and_memory_pattern_reach_the_session(model):
    options = open_session(model, {"arena": False, "memory_pattern": False}).get_session_options()
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    options = open_session(model, {}).get_session_options()
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (True, True)


@given(st.dictionaries(st.sampled_from(["format", "provider", "arena", "session.x", "ep.y"]), st.text(max_size=3)))
def test_every_option_is_edgetunes_or_the_librarys(options):
    settings = session_settings("onnxruntime", options)
    assert set(settings["config"]) == {name for name in options if "." in name}
    assert set(settings) - {"config"} == set(options) & {"provider", "arena"}
    assert session_settings("openvino", options) == {"config": options}
