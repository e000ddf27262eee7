"""Engines that ONNX Runtime runs by its provider `cuda`, where a GPU and a build with that provider are."""

import json
import subprocess
import sys

import onnxruntime
import pytest
from edgetune_runtime import Engine

import edgetune

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(
        "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
        reason="needs `pip install onnxruntime-gpu` in place of onnxruntime, a GPU, and `pytest -m gpu`",
    ),
]


def test_a_build_measures_and_bundles_engines_that_run_on_the_gpu(project):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("ratio = [0.0, 0.5]", "ratio = [0.0]")
    recipe.write_text(f'{text}[targets.x86-cpu]\nprovider = "cuda"\n')
    report = edgetune.build(recipe, target="x86-cpu")
    (target,) = report.data["targets"]
    assert target["status"] == "measured", target
    measured = {one["name"]: one for one in target["candidates"] if one["status"] == "measured"}
    assert {"float", "int8"} <= set(measured)
    assert measured["float"]["metrics"]["accuracy"] > 0.8
    folder = report.run_dir / "bundles/x86-cpu"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["session"]["provider"] == "cuda"
    picture = project / "shapes/test/blob/000.png"
    with Engine.open(folder) as engine:
        assert engine.predict(picture, top=1)[0][0] in ("blob", "cross", "stripes")
    # In a process without torch, which would have loaded CUDA's libraries; opening runs the bundle's self-test.
    command = [sys.executable, "-m", "edgetune_runtime.cli", str(folder), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
