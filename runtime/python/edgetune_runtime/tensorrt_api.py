"""Engines built and run through TensorRT's Python package."""

from __future__ import annotations

import os
import tempfile
import threading
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgetune_runtime.cuda import Work
from edgetune_runtime.errors import BundleError, LibraryError, RuntimeProblem
from edgetune_runtime.tensorrt_settings import DTYPES, Settings
from edgetune_runtime.tensorrt_types import Config, CudaEngine, Library, Runtime

OLDEST = (8, 5)  # the first with addresses by name and execute_async_v3
FAMILIES = (8, 10, 11)
TYPES = {  # of tensorrt.DataType, by name; its own nptype() fails beside numpy 1.24 and newer in 8.x
    "FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "BOOL": "bool", "UINT8": "uint8",
    "INT64": "int64",
}  # fmt: skip


def installed() -> tuple[int, int, int] | None:
    """The version of the package, which is not loaded; None: there is none."""
    for name in ("tensorrt", "tensorrt_cu13", "tensorrt_cu12", "tensorrt_cu11"):
        try:
            return parse(metadata.version(name))
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return None


def parse(text: str) -> tuple[int, int, int]:
    """``10.3.0.30`` -> (10, 3, 0)."""
    major, minor, patch = (int("".join(filter(str.isdigit, part)) or 0) for part in (text + ".0.0").split(".")[:3])
    return major, minor, patch


def load() -> Library:
    """The package.

    Raises:
        LibraryError: it is missing, broken, or older than what is called here.
    """
    try:
        library = cast(Library, import_module("tensorrt"))
        version = parse(library.__version__)
    except ModuleNotFoundError as problem:
        raise LibraryError(
            "the engine runs in TensorRT, whose Python package is not installed here (on a Jetson: sudo apt install "
            "python3-libnvinfer; on a workstation: pip install tensorrt)"
        ) from problem
    except Exception as problem:
        raise LibraryError(f"TensorRT's Python package does not load: {' '.join(str(problem).split())}") from problem
    if version < OLDEST or version[0] not in FAMILIES:
        raise LibraryError(f"TensorRT is {library.__version__}; this version knows 8.5, 8.6, 10.x and 11.x")
    return library


def build(library: Library, onnx: Path, settings: Settings, *, workspace_mb: int, timing_cache: Path | None) -> bytes:
    """The serialized engine of an ONNX file.

    Raises:
        RuntimeProblem: TensorRT refuses the file, with its parser's words, or cannot build it.
    """
    family = parse(library.__version__)[0]
    logger = library.Logger(library.Logger.ERROR)
    builder = library.Builder(logger)
    network = builder.create_network(_network_flags(library, family, settings))
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        errors = [str(parser.get_error(number).desc()) for number in range(parser.num_errors)]
        raise RuntimeProblem(f"TensorRT's parser refuses {onnx.name}: {'; '.join(errors)[:600] or 'no reason given'}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    if family == 8 or (family == 10 and settings.dla_core is not None):  # weakly typed: what it may use beside float32
        config.set_flag(library.BuilderFlag.FP16)
        if settings.precision == "int8":
            config.set_flag(library.BuilderFlag.INT8)
    if settings.dla_core is not None:
        config.default_device_type = library.DeviceType.DLA
        config.DLA_core = settings.dla_core
        config.set_flag(library.BuilderFlag.GPU_FALLBACK)
    profile, one = builder.create_optimization_profile(), (1, *settings.sample)
    profile.set_shape(settings.input, one, one, (settings.max_batch, *settings.sample))
    config.add_optimization_profile(profile)
    _read_timings(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeProblem(f"TensorRT could not build {onnx.name}; its own words are above")
    _write_timings(config, timing_cache)
    return bytes(plan)


def layers(library: Library, plan: bytes) -> str:
    """The engine's layers as JSON, in the form of trtexec's ``--exportLayerInfo``."""
    engine, _ = _engine(library, plan, None)
    inspector = engine.create_engine_inspector()
    return inspector.get_engine_information(library.LayerInformationFormat.JSON)


class Tensor:
    """An input or output as ONNX Runtime describes one; a free dimension is None."""

    def __init__(self, name: str, dtype: str, shape: list[Any]) -> None:
        self.name, self.dtype, self.shape = name, np.dtype(dtype), shape
        self.type = DTYPES.get(dtype, f"tensor({dtype})")


class Session:
    """A loaded engine with the methods of ``onnxruntime.InferenceSession`` that edgetune uses."""

    def __init__(self, library: Library, plan: bytes, settings: Settings) -> None:
        self.work = Work()  # its context first: TensorRT loads engines into the current one
        engine, self._runtime = _engine(library, plan, settings.dla_core)  # which must live as long as its engine
        context = engine.create_execution_context()
        if context is None:
            raise RuntimeProblem("TensorRT cannot make room to run the engine; is the GPU's memory full?")
        self.engine, self.context, self.settings = engine, context, settings
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == library.TensorIOMode.INPUT]
        self._inputs = [_tensor(engine, name) for name in inputs]
        self._outputs = [_tensor(engine, name) for name in names if name not in inputs]
        self._lock = threading.Lock()  # a context runs one inference at a time

    def get_inputs(self) -> list[Tensor]:
        """In the engine's order."""
        return self._inputs

    def get_outputs(self) -> list[Tensor]:
        """In the engine's order."""
        return self._outputs

    def run(self, names: list[str] | None, feed: dict[str, Any]) -> list[Any]:
        """The outputs called ``names``, all for None; a batch larger than the engine's runs in parts."""
        (name, batch), most = next(iter(feed.items())), self.settings.max_batch
        with self._lock:
            self.work.enter()
            parts = [self._part(name, batch[start : start + most]) for start in range(0, len(batch), most)]
        wanted = names or [tensor.name for tensor in self._outputs]
        return [np.concatenate([part[one] for part in parts]) for one in wanted]

    def _part(self, name: str, batch: np.ndarray) -> dict[str, np.ndarray]:
        array, context, work = np.ascontiguousarray(batch), self.context, self.work
        if not context.set_input_shape(name, array.shape):
            raise RuntimeProblem(f"the engine does not take {list(array.shape)}")
        address = work.buffer(name, array.nbytes)
        context.set_tensor_address(name, address)
        work.send(address, array)
        found = {t.name: np.empty(tuple(context.get_tensor_shape(t.name)), t.dtype) for t in self._outputs}
        addresses = {one: work.buffer(one, output.nbytes) for one, output in found.items()}
        for one, place in addresses.items():
            context.set_tensor_address(one, place)
        if not context.execute_async_v3(work.stream):
            raise RuntimeProblem("TensorRT could not run the engine; its own words are above")
        for one, output in found.items():
            work.fetch(output, addresses[one])
        work.wait()
        return found


def _engine(library: Library, plan: bytes, dla_core: int | None) -> tuple[CudaEngine, Runtime]:
    runtime = library.Runtime(library.Logger(library.Logger.ERROR))
    if dla_core is not None:
        runtime.DLA_core = dla_core
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BundleError(
            f"TensorRT {library.__version__} does not load the engine: it is damaged, or was built with another "
            "version or for another GPU; engines never leave either, so build it here from its ONNX file"
        )
    return engine, runtime


def _network_flags(library: Library, family: int, settings: Settings) -> int:
    """8.x must be told that batches are explicit, 10.x that types are; 11 knows nothing else."""
    flags = library.NetworkDefinitionCreationFlag
    if family == 8:
        return 1 << int(flags.EXPLICIT_BATCH)
    return 1 << int(flags.STRONGLY_TYPED) if family == 10 and settings.dla_core is None else 0


def _tensor(engine: CudaEngine, name: str) -> Tensor:
    kind = engine.get_tensor_dtype(name).name
    if kind not in TYPES:
        raise BundleError(f"the engine's {name} is of type {kind}, which is not handled here")
    return Tensor(name, TYPES[kind], [None if size < 0 else int(size) for size in engine.get_tensor_shape(name)])


def _read_timings(config: Config, file: Path | None) -> None:
    """What was timed before; a file of another version counts for nothing."""
    if file is None:
        return
    try:
        content = file.read_bytes()
    except OSError:
        content = b""
    if not config.set_timing_cache(config.create_timing_cache(content), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _write_timings(config: Config, file: Path | None) -> None:
    cache = config.get_timing_cache()
    if file is not None and cache is not None:
        write_whole(file, bytes(cache.serialize()))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink()
        raise
