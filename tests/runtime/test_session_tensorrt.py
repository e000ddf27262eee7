"""TensorRT in the runtime: engines built on first start and kept, refused where they are foreign.

TensorRT cannot be installed here. trtexec is a stand-in that keeps its documented contract, the Python package one that
has the calls of ``tensorrt_types`` and computes with ONNX Runtime: they test our side of both, and nothing of TensorRT.
"""

import ctypes
import json
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import trtexec_contract
from edgetune_runtime import Engine, cuda, session_tensorrt, tensorrt_api, tensorrt_here
from edgetune_runtime.errors import BundleError, LibraryError, RuntimeProblem
from edgetune_runtime.tensorrt_settings import TIED, foreign, read_settings
from hypothesis import given
from hypothesis import strategies as st
from small_engines import bundle

from edgetune.bundle.manifest import read_manifest, write_manifest

SETTINGS = {
    "family": 10, "precision": "fp16", "input": "image", "sample": [3, 8, 8], "dtype": "float32", "max_batch": 4,
    "dla_core": None, "plan": None,
}  # fmt: skip


def tensorrt_bundle(folder, **changes):
    bundle(folder, 1)
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    content |= {"backend": "tensorrt", "session": {"threads": 1, "config": {}, "tensorrt": {**SETTINGS, **changes}}}
    write_manifest(folder, content)
    return folder


def expected(folder, images):
    session = onnxruntime.InferenceSession(str(folder / "engine.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((6, 3, 8, 8), dtype=np.float32)


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A machine without TensorRT, of whose PATH and cache the tests decide."""
    monkeypatch.setattr(tensorrt_here.trtexec, "JETPACK", str(tmp_path / "none"))
    monkeypatch.setattr(tensorrt_api, "installed", lambda: None)
    monkeypatch.setattr(tensorrt_here, "_gpu", lambda: {"gpu": "unknown", "sm": "unknown"})
    monkeypatch.setenv(session_tensorrt.CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    calls = tmp_path / "calls.jsonl"
    return SimpleNamespace(
        install=lambda banner="v100300", family=10: trtexec_contract.install(tmp_path / "bin", banner, family, calls),
        built=lambda: calls.read_text().count("--onnx=") if calls.exists() else 0,
        cache=tmp_path / "cache",
    )


# --- by trtexec ----------------------------------------------------------------------------------------


def test_an_engine_is_built_on_first_start_and_kept(device, tmp_path, images):
    folder = tensorrt_bundle(tmp_path / "bundle")
    device.install()
    with Engine.open(folder) as engine:
        found = engine.run(images)  # six of them, in parts of four
        assert len(engine.predict(images[:1])) == 5
    assert np.allclose(found, expected(folder, images), rtol=1e-4, atol=1e-4)
    assert device.built() == 1
    Engine.open(folder).close()
    assert device.built() == 1
    (plan,) = device.cache.glob("*.plan")
    plan.write_bytes(plan.read_bytes()[:100])  # torn by a crash or a full disk
    Engine.open(folder).close()
    assert device.built() == 2
    device.install("v100700")  # another JetPack
    Engine.open(folder).close()
    assert device.built() == 3 and len(list(device.cache.glob("*.plan"))) == 2


def test_an_engine_that_cannot_be_built_leaves_nothing(device, tmp_path):
    folder = tensorrt_bundle(tmp_path / "bundle", input="picture")
    device.install()
    with pytest.raises(BundleError, match="Cannot find input tensor with name 'picture'"):
        Engine.open(folder)
    assert not list(device.cache.glob("*.plan"))


def test_files_for_another_family_are_refused(device, tmp_path):
    device.install("v8502", 8)
    with pytest.raises(BundleError, match=r"made for TensorRT 10\.x, and here is 8\.5\.2"):
        Engine.open(tensorrt_bundle(tmp_path / "bundle"))


def test_a_foreign_engine_is_refused_where_there_is_no_file_to_build_from(device, tmp_path):
    device.install()
    here = tensorrt_here.find()
    plan = {"file": "engine.plan", **here.tied, "tensorrt": "10.7.0"}
    folder = tensorrt_bundle(tmp_path / "bundle", plan=plan)
    (folder / "engine.plan").write_bytes(b"of another version")
    settings = read_settings({"tensorrt": {**SETTINGS, "plan": plan}})
    with pytest.raises(
        BundleError, match=r"built with TensorRT 10\.7\.0, and here is 10\.3\.0.*build it on this device"
    ):
        session_tensorrt.find_plan(folder / "engine.plan", settings, here)
    session_tensorrt.find_plan(folder / "engine.onnx", settings, here)  # builds
    assert device.built() == 1
    own = read_settings({"tensorrt": {**SETTINGS, "plan": {**plan, "tensorrt": "10.3.0"}}})
    assert session_tensorrt.find_plan(folder / "engine.onnx", own, here) == b"of another version"
    with pytest.raises(RuntimeProblem, match="Engine deserialization failed"):
        session_tensorrt.TrtexecSession(here.program, b"of another version", own)


def test_without_tensorrt_the_library_is_named(device, tmp_path):
    with pytest.raises(LibraryError, match="neither trtexec"):
        Engine.open(tensorrt_bundle(tmp_path / "bundle"))


# --- what a bundle says --------------------------------------------------------------------------------


@given(st.sampled_from(sorted(SETTINGS)), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()), st.dictionaries(st.text(), st.text())))  # fmt: skip # noqa: E501
def test_any_settings_are_read_or_refused(key, value):
    try:
        settings = read_settings({"tensorrt": {**SETTINGS, key: value}})
    except BundleError as problem:
        assert f"tensorrt.{key}" in str(problem)
    else:
        assert settings.max_batch >= 1 and " " not in settings.input


@pytest.mark.parametrize("plan", [{"file": "../x", **dict.fromkeys(TIED, "1")}, {"file": "x"}, "x", []])
def test_a_plan_outside_the_bundle_is_refused(plan):
    with pytest.raises(BundleError, match=r"tensorrt\.plan"):
        read_settings({"tensorrt": {**SETTINGS, "plan": plan}})


def test_what_an_engine_is_tied_to():
    built = {"tensorrt": "10.3.0", "sm": "8.7", "gpu": "Orin", "arch": "aarch64"}
    assert foreign(built, built) is None
    for key, value in (("tensorrt", "10.3.1"), ("sm", "8.9"), ("gpu", "Orin NX"), ("arch", "x86_64")):
        assert f"{built[key]}, and here is {value}" in str(foreign(built, {**built, key: value}))
    assert foreign(built, {**built, "sm": "unknown", "gpu": "unknown"}) is None


# --- by the Python package -----------------------------------------------------------------------------


class HostWork:
    """The calls of ``cuda.Work`` on this machine's memory."""

    stream = 7

    def __init__(self):
        self.buffers = {}

    def enter(self):
        pass

    def buffer(self, name, size):
        if name not in self.buffers or len(self.buffers[name]) < size:
            self.buffers[name] = ctypes.create_string_buffer(size)
        return ctypes.addressof(self.buffers[name])

    def send(self, address, array):
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def fetch(self, array, address):
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def wait(self):
        pass


class Package:
    """A module with the calls of ``tensorrt_types.Library``, which notes how it is called."""

    def __init__(self, version, *, parses=True, builds=True, loads=True):
        self.__version__, self.noted = version, []
        self.parses, self.builds, self.loads = parses, builds, loads
        self.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(FP16="fp16", INT8="int8", GPU_FALLBACK="fallback")
        self.DeviceType = SimpleNamespace(DLA="dla")
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.LayerInformationFormat = SimpleNamespace(JSON="json")
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        self.Logger = lambda severity: severity
        self.Logger.ERROR = "error"

    def Builder(self, logger):
        note = self.noted.append
        config = SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: note((pool, size)),
            set_flag=note,
            add_optimization_profile=lambda profile: 0,
            create_timing_cache=lambda content: content,
            set_timing_cache=lambda cache, ignore_mismatch: cache != b"of another version",
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"timings"),
        )
        return SimpleNamespace(
            create_network=lambda flags: note(("network", flags)) or SimpleNamespace(),
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=lambda *args: note(("profile", *args))),
            build_serialized_network=lambda network, _: memoryview(network.content) if self.builds else None,
        )

    def OnnxParser(self, network, logger):
        def parse(path):
            with open(path, "rb") as file:  # noqa: PTH123
                network.content = file.read()
            return self.parses

        error = SimpleNamespace(desc=lambda: "no importer for Frobnicate")
        return SimpleNamespace(parse_from_file=parse, num_errors=0 if self.parses else 1, get_error=lambda _: error)

    def Runtime(self, logger):
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: _FakeEngine(plan) if self.loads else None)


class _FakeEngine:
    num_io_tensors = 2

    def __init__(self, plan):
        self.session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
        self.addresses, self.shape = {}, None

    def get_tensor_name(self, index):
        return ("image", "logits")[index]

    def get_tensor_mode(self, name):
        return "in" if name == "image" else "out"

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name="FLOAT")

    def get_tensor_shape(self, name):
        rest = {"image": (3, 8, 8), "logits": (10,)}[name]
        return (-1 if self.shape is None else self.shape[0], *rest)

    def create_execution_context(self):
        return self

    def create_engine_inspector(self):
        return SimpleNamespace(get_engine_information=lambda format: '{"Layers": [], "Bindings": []}')

    def set_input_shape(self, name, shape):
        self.shape = shape
        return shape[0] <= 4

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        size = int(np.prod(self.shape))
        values = (ctypes.c_float * size).from_address(self.addresses["image"])
        found = self.session.run(None, {"image": np.array(values, np.float32).reshape(self.shape)})[0]
        ctypes.memmove(self.addresses["logits"], np.ascontiguousarray(found).ctypes.data, found.nbytes)
        return stream_handle == HostWork.stream


def use(monkeypatch, package):
    version = tensorrt_api.parse(package.__version__)
    monkeypatch.setattr(tensorrt_api, "installed", lambda: version)
    monkeypatch.setattr(tensorrt_api, "import_module", lambda name: package)
    monkeypatch.setattr(tensorrt_api, "Work", HostWork)
    monkeypatch.setattr(tensorrt_here, "_gpu", lambda: {"gpu": "GPU of the tests", "sm": "8.9"})
    return package


FLAGS = {  # version: family, DLA -> network flags and builder flags of an INT8 engine
    ("8.6.1", 8, None): (1 << 0, ["fp16", "int8"]),
    ("10.3.0.30", 10, None): (1 << 1, []),
    ("10.3.0.30", 10, 0): (0, ["fp16", "int8", "fallback"]),
    ("11.2.0", 11, None): (0, []),
}


@pytest.mark.parametrize(("version", "family", "dla"), FLAGS)
def test_how_each_family_is_asked(device, tmp_path, monkeypatch, images, version, family, dla):
    package = use(monkeypatch, Package(version))
    folder = tensorrt_bundle(
        tmp_path / "b", family=family, precision="int8", dla_core=dla, max_batch=1 if dla == 0 else 4
    )
    with Engine.open(folder) as engine:
        assert np.array_equal(engine.run(images), expected(folder, images))
    network, flags = FLAGS[version, family, dla]
    assert ("network", network) in package.noted
    assert [one for one in package.noted if isinstance(one, str)] == flags
    most = (1 if dla == 0 else 4, 3, 8, 8)
    assert ("profile", "image", (1, 3, 8, 8), (1, 3, 8, 8), most) in package.noted
    _, size = next(one for one in package.noted if one[0] == "workspace")
    assert size % (1 << 20) == 0 and 16 << 20 <= size <= 2048 << 20
    assert [file.read_bytes() for file in device.cache.glob("timings-*")] == [b"timings"]
    count = len(package.noted)
    Engine.open(folder).close()  # from the cache
    assert len(package.noted) == count


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (Package("10.3.0", parses=False), "parser refuses engine.onnx: no importer for Frobnicate"),
        (Package("10.3.0", builds=False), "could not build engine.onnx"),
        (Package("10.3.0", loads=False), "does not load the engine: it is damaged, or was built with another version"),
    ],
)
def test_what_the_package_refuses_is_told(device, tmp_path, monkeypatch, package, message):
    use(monkeypatch, package)
    with pytest.raises(BundleError, match=message):
        Engine.open(tensorrt_bundle(tmp_path / "bundle"))


@pytest.mark.parametrize("version", ["8.4.3.1", "7.1", "9.3.0", "12.0"])
def test_a_package_whose_calls_differ_is_refused(monkeypatch, version):
    monkeypatch.setattr(tensorrt_api, "import_module", lambda name: Package(version))
    with pytest.raises(LibraryError, match=rf"TensorRT is {version}; this version knows 8\.5"):
        tensorrt_api.load()


@pytest.mark.parametrize("problem", [ImportError("libnvinfer.so.10: cannot open"), OSError("no such file")])
def test_a_package_that_does_not_load_is_told(monkeypatch, problem):
    def broken(name):
        raise problem

    monkeypatch.setattr(tensorrt_api, "import_module", broken)
    with pytest.raises(LibraryError, match="does not load"):
        tensorrt_api.load()


def test_a_machine_without_a_driver_says_so(monkeypatch):
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda.so.none")
    cuda.driver.cache_clear()
    with pytest.raises(LibraryError, match="no NVIDIA driver"):
        cuda.driver()


def test_what_is_here_as_plain_data(device):
    assert tensorrt_here.describe() is None
    device.install("v101602")
    found = tensorrt_here.describe()
    assert found["tensorrt"] == "10.16.2" and found["trtexec"].endswith("trtexec") and found["python"] is False
    json.dumps(found)
