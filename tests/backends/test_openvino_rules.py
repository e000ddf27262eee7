"""What the real OpenVINO makes of files: good ones, one whose layer falls back to float, one it does not open."""

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetune.backends.openvino_rules import validate
from edgetune.errors import InputError


@pytest.fixture(autouse=True)
def installed():
    pytest.importorskip("openvino", reason="OpenVINO is not installed")


def write(path, nodes, constants=None):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 8, 8]) for name in ("x", "y")]
    made = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], made)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("foreign", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return path


def quantized_convolution(path, scale):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], "q", axis=1),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], "d", axis=1),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "dw", axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"], "conv", pads=[1, 1, 1, 1]),
    ]
    constants = {"xs": scale, "xz": np.zeros(np.shape(scale), np.uint8), "wz": np.zeros(8, np.int8)}
    constants |= {"w": np.random.default_rng(0).integers(-127, 127, (8, 8, 3, 3), dtype=np.int8)}
    return write(path, nodes, constants | {"ws": np.full(8, 0.01, np.float32)})


def test_a_quantized_layer_that_runs_in_integers_is_fine(tmp_path):
    assert validate(quantized_convolution(tmp_path / "a.onnx", np.float32(0.1))) == []


def test_a_float_layer_is_fine(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])]
    assert validate(write(tmp_path / "a.onnx", nodes, {"w": np.ones((8, 8, 3, 3), np.float32)})) == []


def test_a_quantized_layer_that_runs_in_float_is_told(tmp_path):
    (finding,) = validate(quantized_convolution(tmp_path / "a.onnx", np.linspace(0.1, 0.2, 8, dtype=np.float32)))
    assert (finding.rule, finding.severity, finding.node) == ("in-float", "warning", "conv (Conv)")
    assert "f32" in finding.problem


def test_a_file_that_does_not_open_is_told_in_its_words(tmp_path):
    (finding,) = validate(write(tmp_path / "a.onnx", [helper.make_node("Nope", ["x"], ["y"], "n", domain="foreign")]))
    assert finding.severity == "error" and "foreign.Nope" in finding.says


def test_a_missing_library_is_told_with_the_command(tmp_path, monkeypatch):
    path = quantized_convolution(tmp_path / "a.onnx", np.float32(0.1))
    monkeypatch.delitem(sys.modules, "edgetune_runtime.session_openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match="not installed") as caught:
        validate(path)
    assert caught.value.hint == "pip install openvino"


def test_what_is_no_onnx_file(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match="not an ONNX file"):
        validate(tmp_path / "a.onnx")
