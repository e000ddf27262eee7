"""Backends say what they can do here, and why not."""

import importlib

import pytest

from edgetune.backends import BACKENDS
from edgetune.backends import onnxruntime as ort_backend
from edgetune.devices import local
from edgetune.errors import BackendError
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
