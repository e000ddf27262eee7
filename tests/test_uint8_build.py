"""The main job with `[bundle] input = "uint8-nhwc"`: engines that take pixels, from a recipe to a bundle."""

import json

import numpy as np
import pytest
from edgetune_runtime import Engine, InputError
from PIL import Image

import edgetune
from edgetune.report.validate import validate
from edgetune.surroundings import why_not_here
from edgetune.target import load_target

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_not_here(load_target("x86-cpu"))), reason="no processor for x86-cpu here"),
]


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


def test_engines_of_pixels_are_evaluated_measured_and_bundled_as_those_of_floats(project):
    before = build(project, target="x86-cpu")
    recipe = (project / "edgetune.toml").read_text()
    (project / "edgetune.toml").write_text(recipe + '[bundle]\ninput = "uint8-nhwc"\n')
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
        with np.load(engine.folder / "golden.npz") as golden:
            assert golden["inputs"].dtype == np.uint8 and golden["inputs"].shape[1:] == (40, 40, 3)
        raw = np.asarray(Image.open(picture))[None]
        assert engine.predict(raw) == engine.predict(picture)
        with pytest.raises(InputError, match="the engine normalises"):
            engine.predict(np.zeros((1, 3, 40, 40), np.float32))

    (project / "edgetune.toml").write_text(recipe)
    assert all(step["cached"] for step in build(project, target="x86-cpu").data["steps"])
