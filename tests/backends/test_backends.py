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
        ({"version": 10.3}, 20, "`version` cannot be 10.3"),
        ({"version": "9.2"}, 20, 'rules of "9.2" are not known'),
        ({"version": "8.5"}, 20, "opset 20 is not for TensorRT 8.5"),
        ({"version": "10.3"}, 22, "opset 22 is not for TensorRT 10.3"),
        ({"version": "10.3"}, 17, "opset 17 is not for TensorRT 10.3"),
        ({"version": "10.3", "verion": 3}, 20, "has no option `verion`"),
        ({"version": "10.3", "max_batch": True}, 20, "`max_batch` cannot be True"),
        ({"version": "10.3", "max_batch": 0}, 20, "`max_batch` must be 1 to 4096"),
        ({"version": "10.3", "dla": True}, 20, "this module has no deep-learning accelerator"),
        (
            {"version": "10.13", "dla": True, "dla_cores": 2},
            20,
            r"10\.13 does not run on the deep-learning accelerator",
        ),
        ({"version": "10.3", "dla": True, "dla_cores": 2, "max_batch": 4}, 20, "takes one shape only"),
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


def test_dla_is_for_the_boards_that_have_it():
    for name, there in (("jetson-orin-nx", True), ("jetson-agx-orin", True), ("jetson", False), ("jetson-thor", False)):
        target = load_target(name)
        asked = replace(target, backend_options={**target.backend_options, "version": "10.3", "dla": True})
        if there:
            assert tensorrt.check_options(asked).name == "10.3" and tensorrt.dla_core(asked.backend_options) == 0
        else:
            with pytest.raises(InputError, match="no deep-learning accelerator"):
                tensorrt.check_options(asked)
    assert tensorrt.dla_core(load_target("jetson-orin-nx").backend_options) is None


@pytest.mark.parametrize(
    ("installed", "release", "opset"),
    [
        ("8.5.2", "8.5", 17),
        ("8.6.2", "8.6", 17),
        ("10.3.0", "10.3", 20),
        ("10.99.1", "10.16", 20),
        ("11.4.1", "11.4", 20),
    ],
)
def test_a_target_is_fitted_to_the_tensorrt_of_its_device(installed, release, opset):
    fitted = tensorrt.fit(load_target("jetson"), installed)
    assert (fitted.backend_options["version"], fitted.opset) == (release, opset)
    assert tensorrt.check_options(fitted).name == release


@pytest.mark.parametrize("installed", ["9.0.0", "7.1.3", "12.0", "8.4.1", "x", ""])
def test_a_device_with_a_tensorrt_that_is_not_known(installed):
    with pytest.raises(InputError, match="is not known here"):
        tensorrt.fit(load_target("jetson"), installed)


ORIN = {"tensorrt": "10.3.0", "sm": "8.7", "gpu": "Orin", "arch": "aarch64", "trtexec": "/x/trtexec", "python": True}


def test_an_engine_for_a_workstation_is_never_one_for_a_jetson():
    jetson = {**ORIN, "jetson": {"model": "NVIDIA Jetson Orin NX", "l4t": "R36"}}
    assert tensorrt.why_not_on(load_target("jetson"), jetson) is None
    assert "it is a Jetson" in str(tensorrt.why_not_on(load_target("nvidia-gpu"), jetson))
    workstation = {**ORIN, "sm": "8.9", "gpu": "RTX 4090", "jetson": None}
    assert tensorrt.why_not_on(load_target("nvidia-gpu"), workstation) is None
    assert "compute capability 8.9, the target's 8.7" in str(tensorrt.why_not_on(load_target("jetson"), workstation))
    assert "no trtexec" in str(tensorrt.why_not_on(load_target("jetson"), None))
    lonely = {**ORIN, "sm": "unknown", "gpu": "unknown", "trtexec": "unknown", "jetson": None}
    assert "no NVIDIA driver" in str(tensorrt.why_not_on(load_target("jetson"), lonely))


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
