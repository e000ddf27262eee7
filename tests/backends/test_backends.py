"""Backends say what they can do here, and why not."""

import importlib
from dataclasses import replace

import pytest

from edgetune.backends import BACKENDS, tensorrt
from edgetune.backends import onnxruntime as ort_backend
from edgetune.devices import local
from edgetune.errors import BackendError, InputError
from edgetune.target import all_targets, load_target


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_keeps_the_protocol(name):
    module = importlib.import_module(BACKENDS[name])
    for function in ("unavailable_reason", "compile", "versions"):
        assert callable(getattr(module, function))


@pytest.mark.parametrize("target", [t for t in all_targets() if t.backend == "tensorrt"], ids=lambda t: t.name)
def test_tensorrt_says_why_there_is_no_engine(target, tmp_path):
    backend = importlib.import_module(BACKENDS["tensorrt"])
    assert backend.unavailable_reason(target)
    with pytest.raises(BackendError) as caught:
        backend.compile(tmp_path / "x.onnx", tmp_path, threads=1, options={})
    assert "trtexec" in caught.value.hint
    assert backend.check_options(target).strongly_typed


@pytest.mark.parametrize(
    ("options", "opset", "message"),
    [
        ({}, 20, "does not say which TensorRT it is for"),
        ({"version": 10.3}, 20, "does not say which TensorRT it is for"),
        ({"version": "9.2"}, 20, 'rules of "9.2" are not known'),
        ({"version": "8.5"}, 20, "opset 20 is not for TensorRT 8.5"),
        ({"version": "10.3"}, 22, "opset 22 is not for TensorRT 10.3"),
        ({"version": "10.3"}, 17, "opset 17 is not for TensorRT 10.3"),
    ],
)
def test_targets_whose_tensorrt_does_not_fit(options, opset, message):
    target = replace(load_target("jetson"), backend_options=options, opset=opset)
    with pytest.raises(InputError, match=message) as caught:
        tensorrt.check_options(target)
    assert caught.value.hint


def test_an_older_tensorrt_with_its_opset():
    target = replace(load_target("jetson"), backend_options={"version": "8.5"}, opset=17)
    assert tensorrt.check_options(target).name == "8.5"


def test_a_processor_without_the_feature_is_told(monkeypatch):
    monkeypatch.setattr(local, "cpu_features", lambda: ["avx2"])
    assert "avx512_vnni" in ort_backend.unavailable_reason(load_target("x86-cpu"))
    assert ort_backend.unavailable_reason(load_target("x86-cpu-novnni")) is None


def test_the_engine_is_the_file(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"content")
    (tmp_path / "engine").mkdir()
    session = ort_backend.compile(tmp_path / "model.onnx", tmp_path / "engine", threads=2, options={"a": "b"})
    assert (tmp_path / "engine/engine.onnx").read_bytes() == b"content"
    assert session == {"threads": 2, "graph_optimization": "all", "config": {"a": "b"}}


def test_a_missing_file(tmp_path):
    with pytest.raises(BackendError, match=r"no model\.onnx"):
        ort_backend.compile(tmp_path / "model.onnx", tmp_path, threads=1, options={})
