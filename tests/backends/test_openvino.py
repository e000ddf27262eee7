"""OpenVINO engines of a tiny network: what they compute, in which precision, and what is said where they cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from edgetune_runtime.session import open_session
from tiny_network import tiny

from edgetune.backends import openvino as backend
from edgetune.devices import local
from edgetune.errors import BackendError, TargetError
from edgetune.export.onnx_export import export_onnx
from edgetune.quantization.quantize import quantize
from edgetune.surroundings import why_not_here
from edgetune.target import load_target

TARGET = load_target("intel-cpu")
SHAPE = (1, 3, 32, 32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    folder = tmp_path_factory.mktemp("openvino")
    torch.manual_seed(0)
    network, example = tiny(3).eval(), torch.randn(SHAPE)
    export_onnx(network, example, folder / "float.onnx", opset=20)
    graph = quantize(network, example, TARGET.scheme, lambda: [torch.randn(32, *SHAPE[1:])])
    export_onnx(graph, example, folder / "int8.onnx", opset=20)
    return folder


def engine(files, name, folder, threads=1, **options):
    wanted = backend.compile(files / f"{name}.onnx", folder, threads=threads, options=options)
    return open_session(folder / "engine.onnx", {**wanted, "backend": "openvino"})


@pytest.mark.parametrize(("name", "far"), [("float", 1e-5), ("int8", 0.05)])
def test_it_computes_what_onnx_runtime_does(files, tmp_path, name, far):
    images = np.random.default_rng(0).standard_normal((64, *SHAPE[1:]), dtype=np.float32)
    (theirs,) = open_session(files / f"{name}.onnx", {}).run(None, {"image": images})
    (ours,) = engine(files, name, tmp_path).run(["logits"], {"image": images})
    assert ours.shape == theirs.shape == (64, 3) and ours.dtype == np.float32
    assert np.abs(ours - theirs).max() <= far * theirs.std()


def test_settings_are_asked_for_and_kept(files, tmp_path):
    compiled = engine(files, "float", tmp_path, threads=2).compiled
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert str(compiled.get_property("PERFORMANCE_HINT")).endswith("LATENCY")
    assert compiled.get_property("NUM_STREAMS") == 1


def test_the_manifest_says_every_setting(files, tmp_path):
    wanted = backend.compile(files / "float.onnx", tmp_path, threads=1, options={"CPU_DENORMALS_OPTIMIZATION": "YES"})
    assert wanted["config"]["INFERENCE_PRECISION_HINT"] == "f32" and wanted["threads"] == 1
    assert wanted["config"]["CPU_DENORMALS_OPTIMIZATION"] == "YES"
    assert backend.versions()["openvino"]


@pytest.mark.parametrize(("name", "type"), [("float", "f32"), ("int8", "u8")])
def test_convolutions_run_in_the_precision_of_the_file(files, tmp_path, name, type):
    if name == "int8" and backend.unavailable_reason(TARGET):
        pytest.skip(backend.unavailable_reason(TARGET))
    found = engine(files, name, tmp_path).compiled.get_runtime_model().get_ops()
    kinds = [(op.get_rt_info()["layerType"].value, op.get_rt_info()["runtimePrecision"].value) for op in found]
    assert [precision for kind, precision in kinds if kind == "Convolution"] == [type] * 3


def test_a_missing_package_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr(backend, "installed_version", lambda name: None)
    assert "pip install openvino" in why_not_here(TARGET)


def test_a_processor_without_the_feature_is_told(monkeypatch):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setattr(local, "cpu_features", lambda: ["avx2"])
    assert "avx512_vnni" in why_not_here(TARGET)


@pytest.mark.parametrize("option", backend.PINNED)
def test_what_edgetune_settles_cannot_be_chosen(option):
    with pytest.raises(TargetError, match=option):
        backend.check_options(replace(TARGET, backend_options={option: "bf16"}))
    backend.check_options(TARGET)


def test_a_missing_file(files, tmp_path):
    with pytest.raises(BackendError, match=r"no model\.onnx"):
        backend.compile(tmp_path / "model.onnx", tmp_path, threads=1, options={})
