"""The one place that opens engines: whatever is timed or shipped gets its session here, in its own library."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from edgetune_runtime.errors import LibraryError

DEFAULT = "onnxruntime"
# Each module has TITLE (name and version of the library) and open_engine(model, wanted, threads).
LIBRARIES = {
    "onnxruntime": "edgetune_runtime.session_onnxruntime",
    "openvino": "edgetune_runtime.session_openvino",
    "tensorrt": "edgetune_runtime.session_tensorrt",
}

# ONNX Runtime's execution providers, by the names that manifests and targets use.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def open_session(model: Path | bytes, wanted: dict[str, Any], threads: int | None = None) -> Any:
    """A session for an ONNX file, or for its content.

    It has ``run(names of outputs or None, {input: array}) -> [arrays]``, and ``get_inputs()`` and ``get_outputs()``
    with name, type (``tensor(float)``) and shape, as ONNX Runtime's sessions do.

    Args:
        wanted: the manifest's ``session`` with its ``backend``: backend, threads, config, and of ONNX Runtime
            graph_optimization, provider, arena, memory_pattern; an empty one means ONNX Runtime and the defaults.
        threads: of one inference; None: what ``wanted`` says.

    Raises:
        LibraryError: the library is not installed. Exception: whatever it raises; ONNX Runtime's share no base.
    """
    return library(wanted).open_engine(model, wanted, threads or wanted.get("threads", 1))


def library(wanted: dict[str, Any]) -> ModuleType:
    """The module that opens engines with ``wanted``; its library is loaded.

    Raises:
        LibraryError: it is not installed.
    """
    name = wanted.get("backend", DEFAULT)
    try:
        return import_module(LIBRARIES[name])
    except ModuleNotFoundError as problem:
        if problem.name != name:
            raise
        raise LibraryError(f"the engine runs in {name}, which is not installed here: pip install {name}") from problem


def settings(manifest: dict[str, Any]) -> dict[str, Any]:
    """What ``open_session`` wants, from a bundle's manifest."""
    return {**manifest["session"], "backend": manifest["backend"]}
