"""ONNX Runtime on the CPU: the engine is the ONNX file, optimised when it is loaded.

The optimised graph is not stored: it holds layouts of the processor it was made on, and would fail or
run slowly on another of the same family.
"""

import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgetune.backends.processor import missing_feature
from edgetune.errors import BackendError
from edgetune.records import Target


def check_options(target: Target) -> None:
    """Any option is taken; ONNX Runtime refuses those it does not know when the engine is opened."""


def unavailable_reason(target: Target) -> str | None:
    """Why engines of ``target`` cannot run here: the library or a processor feature is missing."""
    try:
        version("onnxruntime")
    except PackageNotFoundError:
        return "onnxruntime is not installed (pip install onnxruntime)"
    return missing_feature(target)


def compile(onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the file to ``folder/engine.onnx`` and say how to open a session on it.

    Raises:
        BackendError: the file is not there.
    """
    if not onnx.is_file():
        raise BackendError(f"there is no {onnx.name} to compile")
    shutil.copyfile(onnx, folder / "engine.onnx")
    return {"threads": threads, "graph_optimization": "all", "config": dict(options)}


def versions() -> dict[str, str]:
    """Version of ONNX Runtime."""
    return {"onnxruntime": version("onnxruntime")}
