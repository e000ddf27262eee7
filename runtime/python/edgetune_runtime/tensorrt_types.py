"""The calls of TensorRT's Python package that are used, which mean the same from 8.5 to 11.

Read off https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api (8.5, 8.6, 10.x, 11.x). The package
itself has no types and cannot be installed where this is checked; what is not written here is not called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Parser(Protocol):
    """``tensorrt.OnnxParser``."""

    num_errors: int

    def parse_from_file(self, path: str) -> bool: ...
    def get_error(self, index: int) -> Any: ...


class Profile(Protocol):
    """``tensorrt.IOptimizationProfile``."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None: ...


class TimingCache(Protocol):
    """``tensorrt.ITimingCache``."""

    def serialize(self) -> Any: ...


class Config(Protocol):
    """``tensorrt.IBuilderConfig``."""

    profiling_verbosity: Any
    default_device_type: Any
    DLA_core: int

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def set_flag(self, flag: Any) -> None: ...
    def add_optimization_profile(self, profile: Profile) -> int: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache: ...
    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> TimingCache | None: ...


class Builder(Protocol):
    """``tensorrt.Builder``."""

    def create_network(self, flags: int) -> Any: ...
    def create_builder_config(self) -> Config: ...
    def create_optimization_profile(self) -> Profile: ...
    def build_serialized_network(self, network: Any, config: Config) -> Any: ...


class Context(Protocol):
    """``tensorrt.IExecutionContext``."""

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Inspector(Protocol):
    """``tensorrt.EngineInspector``."""

    def get_engine_information(self, format: Any) -> str: ...


class CudaEngine(Protocol):
    """``tensorrt.ICudaEngine``."""

    num_io_tensors: int

    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Sequence[int]: ...
    def create_execution_context(self) -> Context | None: ...
    def create_engine_inspector(self) -> Inspector: ...


class Runtime(Protocol):
    """``tensorrt.Runtime``."""

    DLA_core: int

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> CudaEngine | None: ...


class Library(Protocol):
    """The module ``tensorrt``: its classes, and enumerations of which members are taken by name."""

    __version__: str
    Logger: Any
    NetworkDefinitionCreationFlag: Any
    BuilderFlag: Any
    DeviceType: Any
    MemoryPoolType: Any
    ProfilingVerbosity: Any
    LayerInformationFormat: Any
    TensorIOMode: Any

    def Builder(self, logger: Any) -> Builder: ...
    def OnnxParser(self, network: Any, logger: Any) -> Parser: ...
    def Runtime(self, logger: Any) -> Runtime: ...
