"""The C++ runtime, compiled once, and called through its C interface."""

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

SOURCE = Path(__file__).parents[3] / "runtime" / "cpp"
BUNDLE_ERROR, INPUT_ERROR, BACKEND_ERROR = 1, 2, 3


class Failed(Exception):
    """What a function of the C interface returned, and what edgetune_last_error said."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Options(ctypes.Structure):
    """edgetune_options."""

    _fields_ = (
        ("onnxruntime", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("no_verify", ctypes.c_int32),
        ("no_self_test", ctypes.c_int32),
        ("tensorrt_plan", ctypes.c_char_p),
    )


class Prediction(ctypes.Structure):
    """edgetune_prediction."""

    _fields_ = (("index", ctypes.c_size_t), ("label", ctypes.c_char_p), ("probability", ctypes.c_double))


def declare(path: Path, mode: int = ctypes.DEFAULT_MODE) -> ctypes.CDLL:
    """libedgetune with the types of its functions."""
    library = ctypes.CDLL(str(path), mode)
    pointer, size, double = ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_double)
    for name, result, arguments in (
        ("last_error", ctypes.c_char_p, ()),
        ("open", ctypes.c_int, (ctypes.c_char_p, ctypes.POINTER(Options), ctypes.POINTER(pointer))),
        ("close", None, (pointer,)),
        ("label_count", size, (pointer,)),
        ("label", ctypes.c_char_p, (pointer, size)),
        ("input_height", size, (pointer,)),
        ("input_width", size, (pointer,)),
        ("takes_pixels", ctypes.c_int, (pointer,)),
        ("preprocess", ctypes.c_int, (pointer, pointer, size, size, size, pointer, size)),
        ("preprocess_pixels", ctypes.c_int, (pointer, pointer, size, size, size, pointer, size)),
        ("run", ctypes.c_int, (pointer, pointer, size, pointer, size)),
        ("run_pixels", ctypes.c_int, (pointer, pointer, size, pointer, size)),
        ("predict", ctypes.c_int, (pointer, pointer, size, size, size, pointer, ctypes.POINTER(size))),
        ("self_test", ctypes.c_int, (pointer, double)),
    ):
        function = getattr(library, "edgetune_" + name)
        function.restype, function.argtypes = result, arguments
    return library


class CEngine:
    """An engine behind the C interface."""

    def __init__(self, library: ctypes.CDLL, bundle: object, **options: object) -> None:
        self.library, self.handle = library, ctypes.c_void_p()
        wanted = Options(onnxruntime=str(onnxruntime_library()).encode(), **options)
        self.check(library.edgetune_open(os.fsencode(bundle), ctypes.byref(wanted), ctypes.byref(self.handle)))
        self.side = (library.edgetune_input_height(self.handle), library.edgetune_input_width(self.handle))
        count = library.edgetune_label_count(self.handle)
        self.labels = [library.edgetune_label(self.handle, i).decode() for i in range(count)]

    def check(self, code: int) -> None:
        if code:
            raise Failed(code, self.library.edgetune_last_error().decode())

    def preprocess(self, pixels: np.ndarray, stride: int = 0) -> np.ndarray:
        values = np.full((1, 3, *self.side), np.nan, dtype=np.float32)
        return self._preprocessed(self.library.edgetune_preprocess, pixels, stride, values)

    def preprocess_pixels(self, pixels: np.ndarray, stride: int = 0) -> np.ndarray:
        values = np.zeros((1, *self.side, 3), dtype=np.uint8)
        return self._preprocessed(self.library.edgetune_preprocess_pixels, pixels, stride, values)

    def _preprocessed(self, function, pixels: np.ndarray, stride: int, values: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        address = pixels.ctypes.data
        self.check(function(self.handle, address, width, height, stride, values.ctypes.data, values.size))
        return values

    def run(self, inputs: np.ndarray) -> np.ndarray:
        logits = np.full((len(inputs), len(self.labels)), np.nan, dtype=np.float32)
        run = self.library.edgetune_run_pixels if inputs.dtype == np.uint8 else self.library.edgetune_run
        self.check(run(self.handle, inputs.ctypes.data, len(inputs), logits.ctypes.data, logits.size))
        return logits

    def predict(self, pixels: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        best, count = (Prediction * top)(), ctypes.c_size_t(top)
        height, width = pixels.shape[:2]
        address = pixels.ctypes.data
        self.check(self.library.edgetune_predict(self.handle, address, width, height, 0, best, ctypes.byref(count)))
        return [(item.label.decode(), item.probability) for item in best[: count.value]]

    def self_test(self) -> float:
        difference = ctypes.c_double()
        self.check(self.library.edgetune_self_test(self.handle, ctypes.byref(difference)))
        return difference.value

    def close(self) -> None:
        self.library.edgetune_close(self.handle)
        self.handle = ctypes.c_void_p()


def onnxruntime_library() -> Path:
    """libonnxruntime of the installed wheel."""
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
    if not found:
        pytest.skip("the installed onnxruntime has no libonnxruntime of its own")
    return found[0]


def make(build: Path, *options: str, source: Path = SOURCE) -> Path:
    """Configure and compile runtime/cpp, or another ``source``, in ``build``; skips without cmake or a compiler."""
    compiler = os.environ.get("CXX", "c++")
    for program in ("cmake", compiler):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for command in (["cmake", "-S", source, "-B", build, *options], ["cmake", "--build", build]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The build folder: a shared library, the runner and the tests of single parts; warnings are errors.

    EDGETUNE_CPP_BUILD names one that was made by hand, such as with sanitizers (docs/cpp.md).
    """
    if "EDGETUNE_CPP_BUILD" in os.environ:
        return Path(os.environ["EDGETUNE_CPP_BUILD"])
    options = ("-DBUILD_SHARED_LIBS=ON", "-DEDGETUNE_BUILD_TESTS=ON", "-DEDGETUNE_WARNINGS_AS_ERRORS=ON")
    return make(tmp_path_factory.mktemp("cpp") / "build", *options)


@pytest.fixture(scope="session")
def library(built) -> ctypes.CDLL:
    """libedgetune, loaded."""
    found = sorted(built.glob("libedgetune.*"))
    return declare(found[0])


@pytest.fixture
def open_engine(library):
    """Opens a bundle in the C++ runtime; closes all at the end."""
    opened = []

    def apply(bundle: object, **options: object) -> CEngine:
        opened.append(CEngine(library, bundle, **options))
        return opened[-1]

    yield apply
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def sources() -> Path:
    """runtime/cpp."""
    return SOURCE


@pytest.fixture(scope="session")
def make_build():
    """``make``, for builds of another kind."""
    return make


@pytest.fixture(scope="session")
def load_library():
    """``declare``, for libraries of another build."""
    return declare


@pytest.fixture(scope="session")
def failed() -> type[Failed]:
    """What ``open_engine`` and its engines raise."""
    return Failed


@pytest.fixture(scope="session")
def ort_library() -> Path:
    """libonnxruntime of the installed wheel."""
    return onnxruntime_library()


@pytest.fixture
def run_parts(built, bundle):
    """Preprocesses a picture with the C++ code alone, with another description in the bundle's manifest."""

    def apply(description: dict, image: np.ndarray, program: tuple = ()) -> np.ndarray:
        path = bundle / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        height, width = description["crop"]
        manifest["preprocessing"] = description
        manifest["inputs"][0]["shape"] = ["batch", 3, height, width]
        path.write_text(json.dumps(manifest), encoding="utf-8")
        command = [*(program or [built / "edgetune-parts"]), "preprocess", bundle, image.shape[1], image.shape[0]]
        done = subprocess.run([str(part) for part in command], input=image.tobytes(), capture_output=True)
        assert done.returncode == 0, done.stderr
        return np.frombuffer(done.stdout, dtype=np.float32).reshape(1, 3, height, width)

    return apply
