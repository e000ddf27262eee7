"""`edgetune bundle --emit cpp`: a project that builds with cmake and a compiler alone."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from edgetune_runtime import Engine
from PIL import Image

from edgetune.bundle.pack import pack_tar
from edgetune.cli import cli


def emit(bundle, folder):
    return CliRunner().invoke(cli, ["bundle", str(bundle), "--emit", "cpp", str(folder)])


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_project_builds_and_says_what_python_says(bundle, ort_library, tmp_path):
    result = emit(bundle, tmp_path / "project")
    assert result.exit_code == 0 and "next: cd " in result.output
    project = (tmp_path / "project").rename(tmp_path / "elsewhere")  # it needs nothing of what wrote it
    assert len((project / "main.cpp").read_text().splitlines()) <= 36
    assert "float for x86-cpu" in (project / "README.md").read_text() and "@" not in (project / "README.md").read_text()
    if shutil.which("cmake") is None or shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("cmake or a compiler is not installed")
    clean = {"PATH": os.environ["PATH"], "EDGETUNE_ONNXRUNTIME": str(ort_library)}
    for command in (["cmake", "-S", ".", "-B", "build"], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True)
        assert done.returncode == 0 and "warning" not in done.stderr, done.stdout + done.stderr
    array = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(array).save(project / "picture.ppm")
    done = subprocess.run(["build/classify", "bundle", "picture.ppm"], cwd=project, env=clean, capture_output=True)
    with Engine.open(bundle) as python:
        lines = [f"  {100 * probability:5.1f}%  {label}\n" for label, probability in python.predict(array, top=3)]
    assert done.stdout.decode() == "".join(lines), done.stderr
    for arguments in (["bundle"], ["nowhere", "picture.ppm"], ["bundle", "main.cpp"]):
        done = subprocess.run(["build/classify", *arguments], cwd=project, env=clean, capture_output=True)
        assert done.returncode == 2 and done.stderr.startswith(b"error: ")


def test_a_tar_gives_the_project_that_its_folder_gives(bundle, tmp_path):
    pack_tar(bundle, tmp_path / "bundle.tar")
    (bundle / "notes.txt").write_text("not of the bundle, and not copied")
    assert emit(tmp_path / "bundle.tar", tmp_path / "a").exit_code == emit(bundle, tmp_path / "b").exit_code == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert {"main.cpp", "bundle/engine.onnx", "edgetune/include/edgetune/edgetune.hpp"} <= set(files_of(tmp_path / "a"))


def test_a_bundle_for_tensorrt_says_what_its_project_needs(change, tmp_path):
    settings = {
        "family": 10, "precision": "fp16", "input": "image", "sample": [3, 8, 8], "dtype": "float32", "max_batch": 4,
        "dla_core": None, "plan": None,
    }  # fmt: skip
    bundle = change(
        lambda m: m.update(backend="tensorrt", session={"threads": 1, "tensorrt": settings}, name="a\n@LIBRARY@")
    )
    assert emit(bundle, tmp_path / "project").exit_code == 0
    text = (tmp_path / "project/README.md").read_text()
    assert "made with TensorRT of an unknown version" in text and "ONNX Runtime" not in text
    assert text.startswith("# a @LIBRARY@ for x86-cpu, in C++\n") and text.count("@") == 2
    assert "trtexec --onnx=bundle/engine.onnx --saveEngine=engine.plan --minShapes=image:1x3x8x8" in text
    assert "--stronglyTyped" in text
    bad = change(lambda m: m["session"]["tensorrt"].update(input="picture"))
    assert "is of another input than its engine" in emit(bad, tmp_path / "other").output
    assert "set(EDGETUNE_TENSORRT ON" in (tmp_path / "project/CMakeLists.txt").read_text()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(schema="edgetune.bundle/2"), "newer than this version reads"),
        (lambda m: m.update(backend="tensorrt"), "does not say how its TensorRT engine is built"),
        (lambda m: m.update(backend="openvino"), "with openvino"),
        (lambda m: m["files"]["engine.onnx"].update(sha256="0" * 64), "was altered"),
    ],
)
def test_bundles_that_cannot_run_are_refused_and_nothing_is_written(change, tmp_path, edit, message):
    result = emit(change(edit), tmp_path / "project")
    assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "project").exists() and not list(tmp_path.glob(".project*"))


def test_missing_bundles_and_folders_in_use_are_named(bundle, tmp_path):
    assert "there is no bundle" in emit(tmp_path / "nowhere.tar", tmp_path / "project").output
    (bundle / "engine.onnx").unlink()
    assert "lacks engine.onnx" in emit(bundle, tmp_path / "project").output
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").touch()
    result = emit(bundle, tmp_path / "used")
    assert result.exit_code == 2 and "is not overwritten" in result.output
    result = CliRunner().invoke(cli, ["bundle", str(bundle), "--emit", "rust", str(tmp_path / "x")])
    assert result.exit_code == 2 and "'rust' is not 'cpp'" in result.output
