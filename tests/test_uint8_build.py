"""The main job with `[bundle] input = "uint8-nhwc"`: engines that take pixels, from a recipe to a bundle."""

import json
import shutil

import numpy as np
import onnx
import pytest
from edgetune_runtime import DriftMonitor, Engine, InputError
from PIL import Image
from ssh_server import serving

import edgetune
from edgetune.devices.ssh import CONFIG
from edgetune.report.validate import validate
from edgetune.surroundings import why_not_here
from edgetune.target import load_target

pytestmark = pytest.mark.slow
BOARD = """extends = "x86-cpu"
summary = "the board of the tests"
arch = "any"
cpu_features = []
"""
PIXELS = '[bundle]\ninput = "uint8-nhwc"\n'
SHORT = {"epochs = 6": "epochs = 1", "ratio = [0.0, 0.5]": "ratio = [0.0]"}


def needs(target):
    why = why_not_here(load_target(target))
    return pytest.mark.skipif(bool(why), reason=f"no engines for {target} here: {why}")


def short_recipe(project):
    """One candidate in float and one in INT8, hardly trained."""
    text = (project / "edgetune.toml").read_text()
    for old, new in SHORT.items():
        text = text.replace(old, new)
    (project / "edgetune.toml").write_text(text + PIXELS)


def build(project, **options):
    return edgetune.build("edgetune.toml", cache_dir=project / "cache", **options)


def compiled(project, takes_pixels):
    """{precision: folder} of the engines made from the unpruned network, which are the largest."""
    found = {}
    for path in sorted((project / "cache/objects").glob("*/engine/manifest.json")):
        manifest = json.loads(path.read_text())
        if (manifest["inputs"][0]["dtype"] == "uint8") == takes_pixels:
            found.setdefault(manifest["engine"]["precision"], []).append(path.parent)
    return {
        precision: max(folders, key=lambda folder: (folder / "engine.onnx").stat().st_size)
        for precision, folders in found.items()
    }


@needs("x86-cpu")
def test_engines_of_pixels_are_evaluated_measured_and_bundled_as_those_of_floats(project):
    before = build(project, target="x86-cpu")
    recipe = (project / "edgetune.toml").read_text()
    (project / "edgetune.toml").write_text(recipe + PIXELS)
    report = build(project, target="x86-cpu", run_dir="runs/pixels")
    validate(report.data)
    ((floats,), (target,)) = before.data["targets"], report.data["targets"]
    assert [c["status"] for c in target["candidates"]] == ["measured"] * 4
    for theirs, ours in zip(floats["candidates"], target["candidates"], strict=True):
        assert ours["name"] == theirs["name"] and ours["metrics"] == theirs["metrics"]
        assert ours["engine_digest"] != theirs["engine_digest"]
    again = {step["title"] for step in report.data["steps"] if not step["cached"]}
    begins = ("input of pixels", "compile", "evaluate", "measure", "select", "bundle")
    assert all(title.startswith(begins) for title in again) and len(again) == 4 + 4 + 4 + 3  # nothing was trained again

    for path in (project / "cache/objects").glob("*/notes/parity.json"):
        notes = json.loads(path.read_text())
        if "file" in notes:
            assert notes["file"]["max_difference"] == 0.0 and notes["file"]["samples"] == 24
            assert "torch" not in notes or notes["torch"]["max_difference"] < 1e-4

    picture = project / "shapes/test/blob/000.png"
    old, new = compiled(project, takes_pixels=False), compiled(project, takes_pixels=True)
    assert set(old) == set(new) == {"fp32", "int8"}
    for precision in old:
        with Engine.open(old[precision]) as one, Engine.open(new[precision]) as other:
            np.testing.assert_array_equal(one.run(one.preprocessing(picture)), other.run(other.preprocessing(picture)))

    with Engine.open(report.run_dir / "bundles/x86-cpu.tar") as engine:
        manifest = engine.manifest
        assert manifest["inputs"] == [{"name": "image", "shape": ["batch", 40, 40, 3], "dtype": "uint8"}]
        assert manifest["preprocessing"]["layout"] == "NHWC" and "mean" not in manifest["preprocessing"]
        assert manifest["engine"]["normalisation"]["std"] == [0.229, 0.224, 0.225]
        assert manifest["recipe"]["bundle"] == {"input": "uint8-nhwc"}
        drift = manifest["drift"]  # of the validation split, whose pictures give levels from 0 to 255
        assert sum(drift["confidence"]["counts"]) == sum(drift["classes"]) == drift["samples"] > 0
        assert len(set(drift["input"]["edges"])) > 3 and 1 < drift["input"]["edges"][0] < 255
        assert DriftMonitor(engine).report()["verdict"] == "too few samples"
        with np.load(engine.folder / "golden.npz") as golden:
            assert golden["inputs"].dtype == np.uint8 and golden["inputs"].shape[1:] == (40, 40, 3)
        raw = np.asarray(Image.open(picture))[None]
        assert engine.predict(raw) == engine.predict(picture)
        with pytest.raises(InputError, match="the engine normalises"):
            engine.predict(np.zeros((1, 3, 40, 40), np.float32))

    (project / "edgetune.toml").write_text(recipe)
    assert all(step["cached"] for step in build(project, target="x86-cpu").data["steps"])


@needs("intel-cpu")
def test_openvino_engines_take_pixels(project):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    short_recipe(project)
    report = build(project, target="intel-cpu")
    (target,) = report.data["targets"]
    assert [c["status"] for c in target["candidates"]] == ["measured"] * 2
    notes = {}
    for path in (project / "cache/objects").glob("*/engine/manifest.json"):
        precision = json.loads(path.read_text())["engine"]["precision"]
        notes[precision] = json.loads((path.parents[1] / "notes/parity.json").read_text())
    assert notes["fp32"]["max_difference"] < 1e-3 and notes["int8"]["samples"] > 0
    with Engine.open(report.run_dir / "bundles/intel-cpu.tar") as engine:
        assert engine.manifest["backend"] == "openvino" and engine.preprocessing.takes_pixels
        assert len(engine.predict(project / "shapes/test/blob/000.png")) == 3


def test_files_for_tensorrt_take_pixels_and_keep_its_parsers_rules(project):
    short_recipe(project)
    report = build(project, target="jetson")
    assert report.exit_code == 4
    folder = report.run_dir / "prepared/jetson-orin-nano"
    for name in ("float", "int8"):
        (image,) = onnx.load(folder / f"{name}.onnx").graph.input
        tensor = image.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.UINT8
        assert [one.dim_param or one.dim_value for one in tensor.shape.dim] == ["batch", 40, 40, 3]
    assert json.loads((folder / "validation.json").read_text())["findings"] == {"float": [], "int8": []}
    assert "image:1x40x40x3" in (folder / "build_on_device.sh").read_text()


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine")
def test_a_device_over_ssh_is_handed_pixels(project, tmp_path, monkeypatch):
    short_recipe(project)
    (project / "targets").mkdir()
    (project / "targets" / "board.toml").write_text(BOARD)
    with serving(tmp_path / "server") as server:
        monkeypatch.setenv(CONFIG, str(server.config))
        there = build(project, target="board", device=server.address, run_dir="runs/there")
    here = build(project, target="board", run_dir="runs/here")
    ((board,), (desk,)) = there.data["targets"], here.data["targets"]
    assert [c["metrics"] for c in board["candidates"]] == [c["metrics"] for c in desk["candidates"]]
    with Engine.open(there.run_dir / "bundles/board.tar") as engine:
        assert engine.preprocessing.takes_pixels and engine.self_test() == 0.0
