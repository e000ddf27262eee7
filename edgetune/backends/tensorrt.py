"""TensorRT: engines are built on the device that runs them, because they are tied to its GPU and library version."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgetune.errors import BackendError
from edgetune.records import Target

JETPACK_TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")


def unavailable_reason(target: Target) -> str | None:
    """Always a reason for now: this version prepares the ONNX and does not build engines."""
    if find_spec("tensorrt") is None and shutil.which("trtexec") is None and not JETPACK_TRTEXEC.exists():
        return f"TensorRT is not installed here; the engine must be built on the {target.name} itself"
    return "this version of edgetune prepares TensorRT's ONNX and does not build the engine yet"


def compile(onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Refused, see ``unavailable_reason``."""
    raise BackendError(
        "engines for TensorRT are not built by this version of edgetune",
        hint=f"on the device: {JETPACK_TRTEXEC} --onnx={onnx.name} --stronglyTyped --saveEngine=engine.plan",
    )


def versions() -> dict[str, str]:
    """No library is loaded."""
    return {}
