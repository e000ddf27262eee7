"""The device's view: a fresh environment with ``edgetune-runtime`` alone, without torch and without edgetune."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetune.bundle.pack import pack_tar

DISTRIBUTION = Path(__file__).parents[2] / "runtime" / "python"


@pytest.mark.slow
def test_edgetune_run_in_an_environment_without_torch(bundle, tmp_path):
    venv.create(tmp_path / "device", with_pip=True)
    programs = tmp_path / "device" / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    source = copy_of_the_distribution(tmp_path)
    subprocess.run([*pip, f"{source}[image]"], check=True, env=clean_environment())
    for name in ("torch", "edgetune", "onnx"):
        done = run(programs / "python", "-I", "-c", f"import {name}")  # -I: not from this folder either
        assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr
    green = np.zeros((30, 20, 3), dtype=np.uint8)
    green[..., 1] = 255
    Image.fromarray(green).save(tmp_path / "green.png")
    pack_tar(bundle, tmp_path / "bundle.tar")
    for place in (bundle, tmp_path / "bundle.tar"):
        done = run(programs / "edgetune-run", place, tmp_path / "green.png", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["predictions"][0]["label"] == "green"
    (bundle / "engine.onnx").write_bytes(b"altered")
    done = run(programs / "edgetune-run", bundle, tmp_path / "green.png")
    assert done.returncode == 2 and "engine.onnx has 7 bytes instead of" in done.stderr


def copy_of_the_distribution(folder):
    """Building writes beside the sources; the repository stays clean."""
    leftovers = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    return shutil.copytree(DISTRIBUTION, folder / "source", ignore=leftovers)


def clean_environment():
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=clean_environment())
