"""Bundles for TensorRT in the C++ runtime, built against a stand-in of TensorRT's and CUDA's interfaces.

TensorRT cannot be installed here. The stand-in (in ``tensorrt/``) has the calls of NVIDIA's headers that the runtime
makes and computes with ONNX Runtime: this tests our side of them, and nothing of TensorRT.
"""

import ctypes
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from small_engines import bundle

from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import write_golden

BESIDE = Path(__file__).parent / "tensorrt"
WITH = ("-DEDGETUNE_TENSORRT=ON", "-DEDGETUNE_WARNINGS_AS_ERRORS=ON")
PLAN = {"file": "engine.plan", "tensorrt": "10.3.0", "sm": "8.7", "gpu": "Orin", "arch": platform.machine()}
SETTINGS = {
    "family": 10, "precision": "fp16", "input": "image", "sample": [3, 8, 8], "dtype": "float32", "max_batch": 4,
    "dla_core": None, "plan": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory, sources, make_build, ort_library):
    """The build folder of runtime/cpp with TensorRT; the stand-in finds ONNX Runtime as users say where it is."""
    folder = tmp_path_factory.mktemp("tensorrt")
    make_build(folder / "stand-in", f"-DEDGETUNE={sources}", source=BESIDE)
    return make_build(folder / "build", *WITH, *where(folder / "stand-in"), "-DBUILD_SHARED_LIBS=ON")


@pytest.fixture(scope="module")
def library(built, load_library):
    """libedgetune with TensorRT, in place of the one that the other tests load."""
    own_first = os.RTLD_NOW | os.RTLD_DEEPBIND  # torch, loaded by other tests, brings CUDA's real runtime
    return load_library(built / "libedgetune.so", own_first)


@pytest.fixture(autouse=True)
def onnxruntime_of_the_stand_in(monkeypatch, ort_library):
    monkeypatch.setenv("EDGETUNE_ONNXRUNTIME", str(ort_library))


def where(stand_in):
    """One library stands in for both."""
    names = ("TENSORRT", "CUDART")
    libraries = [f"-D{name}_LIBRARY={stand_in / 'libnvinfer.so'}" for name in names]
    return [*libraries, *(f"-D{name}_INCLUDE_DIR={BESIDE}" for name in names)]


def tensorrt_bundle(folder, plan=PLAN, **settings):
    """The small engine of the other tests, as an engine of TensorRT that takes four pictures."""
    bundle(folder, 1)
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    if plan:
        (folder / "engine.plan").write_bytes(b"PLAN 10.3.0 4 " + (folder / "engine.onnx").read_bytes())
    session = {"threads": 1, "config": {}, "tensorrt": {**SETTINGS, "plan": plan, **settings}}
    write_manifest(folder, content | {"backend": "tensorrt", "session": session})
    return folder


def batch(count):
    return np.random.default_rng(0).standard_normal((count, 3, 8, 8), dtype=np.float32)


def expected(folder, images):
    session = onnxruntime.InferenceSession(str(folder / "engine.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def test_the_bundles_own_engine_runs_and_large_batches_in_parts(tmp_path, open_engine):
    folder = tensorrt_bundle(tmp_path / "bundle")
    engine = open_engine(folder)
    for count in (1, 4, 6, 9, 2):
        assert np.array_equal(engine.run(batch(count)), expected(folder, batch(count)))
    best = engine.predict(np.full((8, 8, 3), 90, np.uint8), top=3)
    assert [label for label, _ in best] and best[0][1] >= best[1][1]


def test_golden_samples_are_run_when_it_is_opened(tmp_path, open_engine, failed):
    folder = tensorrt_bundle(tmp_path / "bundle")
    outputs = expected(folder, batch(3))
    for wanted in (outputs, -outputs):
        write_golden(folder, batch(3), wanted)
        content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
        write_manifest(folder, content | {"golden": {"file": "golden.npz", "atol": 1e-3}})
        if wanted is outputs:
            assert open_engine(folder).self_test() == 0
        else:
            with pytest.raises(failed, match="self-test failed: 3 of 3"):
                open_engine(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tensorrt": "10.7.0"}, "built with TensorRT 10.7.0, and here is 10.3.0"),
        ({"sm": "7.2"}, "built with compute capability 7.2, and here is 8.7"),
        ({"gpu": "Thor"}, "built with GPU Thor, and here is Orin"),
        ({"arch": "riscv64"}, "built with processor riscv64, and here is"),
    ],
)
def test_an_engine_of_another_version_or_gpu_is_refused(tmp_path, open_engine, failed, changed, message):
    with pytest.raises(failed, match=message) as caught:
        open_engine(tensorrt_bundle(tmp_path / "bundle", plan={**PLAN, **changed}))
    assert "build one on this device from the bundle's ONNX file" in str(caught.value)


def test_what_the_manifest_cannot_tell_is_left_to_tensorrt(tmp_path, open_engine, failed):
    folder = tensorrt_bundle(tmp_path / "bundle", plan={**PLAN, "sm": "unknown"})
    open_engine(folder)
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    (folder / "engine.plan").write_bytes(b"PLAN 8.5.2 4 of another version")
    write_manifest(folder, content)
    with pytest.raises(failed, match=r"TensorRT 10\.3\.0 does not load the engine.*Version tag does not match"):
        open_engine(folder)


def test_an_engine_built_on_the_device_is_taken_by_its_path(tmp_path, open_engine, failed):
    folder = tensorrt_bundle(tmp_path / "bundle", plan=None)
    with pytest.raises(failed, match=r"brings no engine of TensorRT, only engine\.onnx.*by trtexec"):
        open_engine(folder)
    built = tmp_path / "built.plan"
    built.write_bytes(b"PLAN 10.3.0 1 " + (folder / "engine.onnx").read_bytes())
    engine = open_engine(folder, tensorrt_plan=str(built).encode())
    assert np.array_equal(engine.run(batch(3)), expected(folder, batch(3)))  # one by one
    built.write_bytes(b"PLAN 10.3.0 9 " + (folder / "engine.onnx").read_bytes())
    with pytest.raises(failed, match="takes no less than 9 pictures at once"):
        open_engine(folder, tensorrt_plan=str(built).encode())
    with pytest.raises(failed, match=r"none\.plan cannot be read"):
        open_engine(folder, tensorrt_plan=str(tmp_path / "none.plan").encode())
    with pytest.raises(failed, match="is not for TensorRT"):
        open_engine(bundle(tmp_path / "other", 1), tensorrt_plan=str(built).encode())


def test_an_engine_of_another_network_is_refused(tmp_path, open_engine, failed):
    folder = tensorrt_bundle(tmp_path / "bundle")
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    content["outputs"][0]["name"] = "scores"
    write_manifest(folder, content)
    with pytest.raises(failed, match="the engine has no scores as the manifest says it"):
        open_engine(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dla_core": "0"}, "dla_core must be 0 to 7"),
        ({"plan": {"file": "engine.plan"}}, "'tensorrt' is missing or not a text"),
        ({"plan": {**PLAN, "file": "../engine.plan"}}, "the plan's file is not among its files"),
        ({"plan": [1]}, "session.tensorrt.plan must be an object"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path, open_engine, failed, settings, message):
    with pytest.raises(failed, match=message):
        open_engine(tensorrt_bundle(tmp_path / "bundle", **settings))


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("STAND_IN_NO_GPU", "no CUDA-capable device is detected"),
        ("STAND_IN_HWC8", "the engine has no image as the manifest says it"),
        ("STAND_IN_FULL", "has no memory for a batch: out of memory"),
    ],
)
def test_what_the_machine_or_the_engine_has_not_is_told(tmp_path, built, variable, message):
    folder, picture = tensorrt_bundle(tmp_path / "bundle"), tmp_path / "picture.ppm"
    picture.write_bytes(b"P6 8 8 255\n" + bytes(192))
    runner = str(built / "edgetune-run-cpp")
    done = subprocess.run([runner, str(folder), str(picture)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    surroundings = {**os.environ, variable: "1"}
    done = subprocess.run([runner, str(folder), str(picture)], capture_output=True, text=True, env=surroundings)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize("variable", ["STAND_IN_OUT1", "STAND_IN_DYNAMIC"])
def test_outputs_of_another_shape_are_never_read(tmp_path, open_engine, failed, variable):
    folder = tensorrt_bundle(tmp_path / "bundle")
    if variable == "STAND_IN_DYNAMIC":  # its ten classes are told at the run alone
        content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
        content["labels"] = content["labels"][:5]
        content["outputs"][0]["shape"] = ["batch", 5]
        write_manifest(folder, content)
    lib = ctypes.CDLL(None)
    lib.setenv(variable.encode(), b"1", 1)  # the library reads C's environment
    try:
        engine = open_engine(folder)
        with pytest.raises(failed, match="outputs for 2 pictures are not as many"):
            engine.run(batch(2))
    finally:
        lib.unsetenv(variable.encode())


def test_wanted_and_not_found_it_is_no_build(tmp_path, sources, built):
    command = ["cmake", "-S", str(sources), "-B", str(tmp_path / "build"), *WITH, f"-DTENSORRT_INCLUDE_DIR={BESIDE}"]
    done = subprocess.run([*command, "-DTENSORRT_LIBRARY=OFF"], capture_output=True, text=True)
    assert done.returncode and "these were not found" in done.stderr and "TENSORRT_LIBRARY" in done.stderr
