"""``edgetune-run-cpp``: what it prints and how it fails; what is installed; other processors."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from edgetune_runtime import Engine, Preprocessing
from PIL import Image

from edgetune.bundle.pack import pack_tar


@pytest.fixture
def green(tmp_path):
    array = np.zeros((30, 20, 3), dtype=np.uint8)
    array[..., 1] = 255
    Image.fromarray(array).save(tmp_path / "green.ppm")
    return tmp_path / "green.ppm"


@pytest.fixture
def run(built, ort_library):
    def apply(*arguments, **environment):
        environment = {"EDGETUNE_ONNXRUNTIME": str(ort_library), **environment}
        command = [built / "edgetune-run-cpp", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return apply


def test_prints_the_best_labels_as_the_python_runner_does(bundle, green, run):
    done = run(bundle, green, green, "--top", "2")
    python = subprocess.run(
        [sys.executable, "-m", "edgetune_runtime.cli", bundle, green, green, "--top", "2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout == python.stdout and done.stderr == ""
    assert "green" in done.stdout.splitlines()[1]


def test_labels_cannot_steer_the_terminal(change, green, run):
    bundle = change(lambda m: m.update(labels=["\x1b[2Jrot", "gr\u009bün", "\x7f青", "gr\ta\nu"]))
    done = run(bundle, green)
    python = subprocess.run(
        [sys.executable, "-m", "edgetune_runtime.cli", bundle, green],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0 and done.stdout == python.stdout
    assert "\x1b" not in done.stdout and r"\x1b[2Jrot" in done.stdout and r"gr\x9bün" in done.stdout
    assert "gr\ta\\nu" in done.stdout


def test_json_is_one_object_a_picture(change, green, run, tmp_path):
    bundle = change(lambda m: m.update(labels=["rot", 'g"r\\ün', "青", "gr\nau"]))
    pack_tar(bundle, tmp_path / "bundle.tar")
    done = run(tmp_path / "bundle.tar", green, green, "--json", "--threads", "2")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["image"] for row in rows] == [str(green)] * 2
    with Engine.open(bundle) as python:
        assert [(p["label"], p["probability"]) for p in rows[0]["predictions"]] == [
            (label, pytest.approx(probability, rel=1e-13)) for label, probability in python.predict(green)
        ]


def test_the_self_test_says_what_came_out(bundle, run):
    done = run(bundle, "--self-test")
    assert done.returncode == 0 and "self-test passed: outputs differ by up to" in done.stdout
    (bundle / "golden.npz").write_bytes(b"altered")
    assert run(bundle, "--self-test").returncode == 2


def test_pictures_of_every_form_that_is_read(bundle, run, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (9, 11), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.pgm")
    colours = np.repeat(grey[..., None], 3, axis=2)
    (tmp_path / "picture.raw").write_bytes(colours.tobytes())
    (tmp_path / "comment.ppm").write_bytes(b"P6 # a comment\n# another 12\n11\t9\n255\n" + colours.tobytes())
    answers = [
        run(bundle, tmp_path / "grey.pgm"),
        run(bundle, tmp_path / "comment.ppm"),
        run(bundle, "--raw", "11x9", tmp_path / "picture.raw"),
    ]
    assert {done.returncode for done in answers} == {0}
    assert len({tuple(done.stdout.splitlines()[1:]) for done in answers}) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither P5 nor P6"),
        (b"P3 1 1 255 0 0 0", "neither P5 nor P6"),
        (b"P6", "neither P5 nor P6"),
        (b"P6 ", "no size"),
        (b"P6 # no end", "no size"),
        (b"P6 0 1 255\n", "no size"),
        (b"P6 99999999999999999999 1 255\n", "no size"),
        (b"P6 1 1 65535\n      ", "not of 8 bits"),
        (b"P6 1 1 255", "no end"),
        (b"P6 1 1 255\n12", "cut"),
        (b"P6 67108864 67108864 255\n12", "cut"),
    ],
)
def test_what_is_no_picture_is_one_line_and_exit_code_2(bundle, run, tmp_path, content, message):
    (tmp_path / "bad.ppm").write_bytes(content)
    done = run(bundle, tmp_path / "bad.ppm")
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_bad_input_is_one_line_and_exit_code_2(bundle, green, run, tmp_path):
    for arguments, message in [
        (("nowhere.tar", green), "there is no bundle nowhere.tar"),
        ((tmp_path, green), "not a bundle"),
        ((bundle, "nowhere.ppm"), "there is no file nowhere.ppm"),
        ((bundle, green, "--raw", "3x3"), "not those of 3 x 3 RGB pixels"),
        ((bundle, green, "--onnxruntime", "/nowhere.so"), "cannot be loaded"),
        ((bundle, green, "--onnxruntime", "libdl.so.2"), "is no ONNX Runtime"),
    ]:
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and message in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [[], ["b"], ["b", "i", "--top", "0"], ["b", "i", "--threads", "x"], ["--no"], ["b", "i", "--top"],
     ["b", "i", "--raw", "3"], ["b", "i", "--top", "9" * 30]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(run, words):
    done = run(*words)
    assert done.returncode == 2 and done.stderr.startswith("usage: edgetune-run-cpp")


def test_help_and_a_missing_onnx_runtime(bundle, green, run):
    assert run("--help").stdout.startswith("usage: edgetune-run-cpp")
    done = run(bundle, green, EDGETUNE_ONNXRUNTIME="")
    assert done.returncode == 0 or "ONNX Runtime was not found; name libonnxruntime" in done.stderr


def test_telemetry_is_off_before_onnx_runtime_is_loaded(bundle, built, ort_library):
    """Read from the process itself, at its end."""
    code = (
        "import ctypes, os, sys\n"
        "library = ctypes.CDLL(sys.argv[1]); engine = ctypes.c_void_p()\n"
        "assert library.edgetune_open(sys.argv[2].encode(), None, ctypes.byref(engine)) == 0\n"
        "getenv = ctypes.CDLL(None).getenv; getenv.restype = ctypes.c_char_p\n"
        "print(getenv(b'ORT_DISABLE_TELEMETRY').decode())"
    )
    shared = next(built.glob("libedgetune.*"))
    for given, expected in ((None, "1"), ("0", "0")):
        environment = {"EDGETUNE_ONNXRUNTIME": str(ort_library)} | ({"ORT_DISABLE_TELEMETRY": given} if given else {})
        done = subprocess.run(
            [sys.executable, "-c", code, shared, bundle], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_the_tests_of_single_parts_pass(built):
    done = subprocess.run([built / "edgetune-parts"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "all parts work\n", done.stderr


CONSUMER = """
cmake_minimum_required(VERSION 3.13)
project(consumer LANGUAGES CXX C)
find_package(edgetune 0.1 REQUIRED)
add_executable(consumer main.cpp plain.c)
target_link_libraries(consumer PRIVATE edgetune::edgetune)
"""
MAIN = """
#include <edgetune/edgetune.hpp>
#include <cstdio>
extern "C" int plain();
int main(int, char** words) {
  try {
    edgetune::Engine engine = edgetune::Engine::open(words[1]);
    edgetune::Engine moved = std::move(engine);
    const std::vector<std::uint8_t> pixels(3 * 20 * 30, 128);
    const auto rows = moved.predict({{pixels.data(), 20, 30}, {pixels.data(), 30, 20}});
    std::printf("%zu %zu\\n", moved.labels().size(), rows.size());
  } catch (const edgetune::BundleError& problem) {
    std::puts(problem.what());
  }
  return plain();
}
"""
PLAIN = """
#include <edgetune/edgetune.h>
int plain(void) { return edgetune_open("nowhere", 0, 0) == EDGETUNE_INPUT_ERROR ? 0 : 1; }
"""


@pytest.mark.slow
def test_a_static_install_is_found_by_cmake_and_its_runner_is_small(bundle, make_build, ort_library, tmp_path):
    build = make_build(tmp_path / "static", "-DEDGETUNE_WARNINGS_AS_ERRORS=ON")
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", build, "--prefix", prefix, "--strip"], check=True, capture_output=True)
    runner = prefix / "bin" / "edgetune-run-cpp"
    assert runner.stat().st_size < 1_000_000
    for name, text in {"CMakeLists.txt": CONSUMER, "main.cpp": MAIN, "plain.c": PLAIN}.items():
        (tmp_path / name).write_text(text)
    for command in (
        ["cmake", "-S", tmp_path, "-B", tmp_path / "consumer", f"-DCMAKE_PREFIX_PATH={prefix}"],
        ["cmake", "--build", tmp_path / "consumer"],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    environment = {**os.environ, "EDGETUNE_ONNXRUNTIME": str(ort_library)}
    for path, expected in ((bundle, "4 2\n"), (tmp_path, "not a bundle")):
        done = subprocess.run(
            [tmp_path / "consumer" / "consumer", path], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0 and expected in done.stdout, done


HEADER = """
#include <stddef.h>
struct OrtApiBase {{ void* GetApi; void* GetVersionString; }};
struct OrtApi {{ {members} }};
enum {{ ORT_LOGGING_LEVEL_ERROR = 3, ORT_FAIL = 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1, OrtDeviceAllocator = 0,
       OrtMemTypeDefault = 0, ORT_ENABLE_ALL = 99,
       ORT_ENABLE_EXTENDED = 2, ORT_ENABLE_BASIC = 1, ORT_DISABLE_ALL = 0 }};
"""


@pytest.mark.parametrize("moved", [None, 9, 130])
def test_a_header_with_a_function_at_another_place_does_not_compile(sources, moved, tmp_path):
    """ort_abi_check.cpp, with a header of the real one's form: pointers, some of them called as ONNX Runtime does."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no compiler is installed")
    found = re.findall(r"X\(\w+, (\w+), (\d+)\)", (sources / "src/ort_abi.hpp").read_text())
    names = {int(place): name for name, place in found}
    assert len(names) == 36
    if moved is not None:
        names[moved + 1] = names.pop(moved)
    members = " ".join(f"void* {names.get(place, f'other_{place}')};" for place in range(140))
    (tmp_path / "onnxruntime_c_api.h").write_text(HEADER.format(members=members))
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{tmp_path}", sources / "src/ort_abi_check.cpp"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert (done.returncode == 0) == (moved is None), done.stderr
    assert moved is None or "is at another place" in done.stderr


@pytest.mark.slow
def test_arm64(bundle, make_build, preprocessing, run_parts, tmp_path):
    """Cross-compiled and emulated: the parts work and preprocessing gives Python's floats there, too."""
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("aarch64-linux-gnu-g++ is not installed (apt-get install g++-aarch64-linux-gnu)")
    build = make_build(
        tmp_path / "arm64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DEDGETUNE_BUILD_TESTS=ON",
        "-DEDGETUNE_WARNINGS_AS_ERRORS=ON",
    )
    if emulator is None:
        pytest.skip("compiled; not run: qemu-aarch64 is not installed (apt-get install qemu-user-static)")
    command = (emulator, "-L", "/usr/aarch64-linux-gnu", build / "edgetune-parts")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "all parts work\n", done.stderr
    for width, height in ((320, 240), (61, 97), (8, 200)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        description = preprocessing | {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
        np.testing.assert_array_equal(run_parts(description, image, command), Preprocessing(description)(image))
    refused = subprocess.run([*command[:3], build / "edgetune-run-cpp", tmp_path, "--self-test"], capture_output=True)
    assert refused.returncode == 2 and b"not a bundle" in refused.stderr
