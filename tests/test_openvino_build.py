"""The main job for intel-cpu: engines of OpenVINO, from a recipe to a bundle that answers."""

import json

import pytest
from edgetune_runtime import Engine

import edgetune
from edgetune.backends import openvino
from edgetune.report.validate import validate
from edgetune.surroundings import why_not_here
from edgetune.target import load_target

pytest.importorskip("openvino", reason="OpenVINO is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not_here(load_target("intel-cpu"))), reason="no processor for intel-cpu here"),
]


def test_a_build_measures_and_bundles_openvino_engines(project):
    report = edgetune.build("edgetune.toml", target="intel-cpu", cache_dir=project / "cache", run_dir="runs/first")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured"
    names = [candidate["name"] for candidate in target["candidates"]]
    assert names == ["float", "int8", "pruned-50", "pruned-50-int8"]
    assert all(candidate["status"] == "measured" for candidate in target["candidates"])

    parities = {}
    for path in (project / "cache/objects").glob("*/engine/manifest.json"):
        precision = json.loads(path.read_text())["engine"]["precision"]
        parities[precision] = json.loads((path.parents[1] / "notes/parity.json").read_text())
    assert parities["fp32"]["max_difference"] < 1e-3 and parities["int8"]["samples"] > 0

    bundle = report.run_dir / "bundles/intel-cpu.tar"
    with Engine.open(bundle) as engine:
        assert engine.manifest["backend"] == "openvino" and engine.manifest["versions"]["openvino"]
        assert engine.manifest["session"]["config"]["INFERENCE_PRECISION_HINT"] == "f32"
        assert len(engine.predict(project / "shapes/test/blob/000.png")) == 3

    again = edgetune.build("edgetune.toml", target="intel-cpu", cache_dir=project / "cache")
    assert all(step["cached"] for step in again.data["steps"])
    assert again.data["targets"] == report.data["targets"]


def test_without_openvino_files_are_prepared(project, monkeypatch):
    monkeypatch.setattr(openvino, "installed_version", lambda name: None)
    report = edgetune.build("edgetune.toml", target="intel-cpu", cache_dir=project / "cache")
    assert report.exit_code == 4
    (target,) = report.data["targets"]
    assert target["status"] == "prepared" and "pip install openvino" in " ".join(map(str, target["reason"]))
    assert (report.run_dir / "prepared/intel-cpu/int8.onnx").is_file()
