"""As much of CUDA as running an engine takes: memory, copies and a stream, through the driver's own library.

``libcuda.so.1`` comes with every NVIDIA driver, a Jetson's too, and keeps its functions from release to release;
nothing else of CUDA need be installed. Signatures: https://docs.nvidia.com/cuda/cuda-driver-api. The context is the
device's primary one, which is the one TensorRT works in.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from edgetune_runtime.errors import LibraryError, RuntimeProblem

LIBRARY = "libcuda.so.1"
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING


@functools.cache
def driver() -> Any:
    """The library, started.

    Raises:
        LibraryError: there is no NVIDIA driver. RuntimeProblem: it does not start.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as problem:
        raise LibraryError(
            f"there is no NVIDIA driver here ({LIBRARY}): an engine of TensorRT needs a GPU"
        ) from problem
    for name, arguments in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    _checked(library, "cuInit", 0)
    return library


def gpu() -> dict[str, str]:
    """Name and compute capability of the first GPU: ``{"gpu": "Orin", "sm": "8.7"}``.

    Raises:
        LibraryError, RuntimeProblem: see ``driver``; or there is no GPU.
    """
    library, device = driver(), _device()
    name = ctypes.create_string_buffer(256)
    _checked(library, "cuDeviceGetName", name, len(name), device)
    numbers = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int()
        _checked(library, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        numbers.append(str(value.value))
    return {"gpu": name.value.decode(errors="replace"), "sm": ".".join(numbers)}


class Work:
    """A stream of the first GPU, and buffers there that grow as they are needed."""

    def __init__(self) -> None:
        self._library = driver()
        self._context = ctypes.c_void_p()
        _checked(self._library, "cuDevicePrimaryCtxRetain", ctypes.byref(self._context), _device())
        self.enter()
        self._stream = ctypes.c_void_p()
        _checked(self._library, "cuStreamCreate", ctypes.byref(self._stream), NON_BLOCKING)
        self._buffers: dict[str, tuple[int, int]] = {}  # address and bytes

    @property
    def stream(self) -> int:
        """Its handle."""
        return int(self._stream.value or 0)

    def enter(self) -> None:
        """Make the context that of this thread; threads have one each."""
        _checked(self._library, "cuCtxSetCurrent", self._context)

    def buffer(self, name: str, size: int) -> int:
        """The address on the GPU of ``size`` bytes at least, kept for ``name``."""
        address, has = self._buffers.get(name, (0, 0))
        if has >= size:
            return address
        if address:
            _checked(self._library, "cuMemFree_v2", address)
        found = ctypes.c_uint64()
        _checked(self._library, "cuMemAlloc_v2", ctypes.byref(found), max(size, 1))
        self._buffers[name] = (found.value, size)
        return found.value

    def send(self, address: int, array: np.ndarray) -> None:
        """Copy a contiguous array to the GPU, in the stream's order."""
        _checked(self._library, "cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, self._stream)

    def fetch(self, array: np.ndarray, address: int) -> None:
        """Copy back into a contiguous array; it is filled after ``wait``."""
        _checked(self._library, "cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, self._stream)

    def wait(self) -> None:
        """Until all that was asked for is done."""
        _checked(self._library, "cuStreamSynchronize", self._stream)

    def close(self) -> None:
        """Give buffers, stream and context back."""
        self.enter()
        for address, _ in self._buffers.values():
            _checked(self._library, "cuMemFree_v2", address)
        self._buffers.clear()
        _checked(self._library, "cuStreamDestroy_v2", self._stream)
        _checked(self._library, "cuDevicePrimaryCtxRelease_v2", _device())


_pointer, _int, _size, _address = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint64
SIGNATURES: dict[str, list[Any]] = {
    "cuInit": [ctypes.c_uint],
    "cuGetErrorString": [_int, ctypes.POINTER(ctypes.c_char_p)],
    "cuDeviceGet": [ctypes.POINTER(_int), _int],
    "cuDeviceGetName": [ctypes.c_char_p, _int, _int],
    "cuDeviceGetAttribute": [ctypes.POINTER(_int), _int, _int],
    "cuDevicePrimaryCtxRetain": [ctypes.POINTER(_pointer), _int],
    "cuDevicePrimaryCtxRelease_v2": [_int],
    "cuCtxSetCurrent": [_pointer],
    "cuStreamCreate": [ctypes.POINTER(_pointer), ctypes.c_uint],
    "cuStreamSynchronize": [_pointer],
    "cuStreamDestroy_v2": [_pointer],
    "cuMemAlloc_v2": [ctypes.POINTER(_address), _size],
    "cuMemFree_v2": [_address],
    "cuMemcpyHtoDAsync_v2": [_address, _pointer, _size, _pointer],
    "cuMemcpyDtoHAsync_v2": [_pointer, _address, _size, _pointer],
}


def _device() -> int:
    found = ctypes.c_int()
    _checked(driver(), "cuDeviceGet", ctypes.byref(found), 0)
    return found.value


def _checked(library: Any, name: str, *arguments: Any) -> None:
    """Call a function of the driver's.

    Raises:
        RuntimeProblem: with the driver's own words.
    """
    call: Callable[..., int] = getattr(library, name)
    status = call(*arguments)
    if status:
        text = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(text))
        told = (text.value or b"unknown error").decode(errors="replace")
        raise RuntimeProblem(f"the GPU: {told} (CUDA error {status} of {name})")
