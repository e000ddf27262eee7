"""TensorRT: engines are built on the device that runs them, because they are tied to its GPU and library version."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgetune.errors import BackendError, InputError
from edgetune.records import Target
from edgetune.toml import nearest

# Newest opset by version, from docs/operators.md of the parser (github.com/onnx/onnx-tensorrt); what lies between two
# entries there takes the older one's.
OPSETS = {"8.5": 17, "8.6": 17} | {f"10.{minor}": 20 if minor < 15 else 24 for minor in range(17)}
OPSETS |= {f"11.{minor}": 24 for minor in range(3)}
OLDEST_OPSET = 13  # the first with per-channel scales
JETPACK_TRTEXEC = Path("/usr/src/tensorrt/bin/trtexec")


def check_version(version: str) -> str:
    """``tensorrt-10.3`` or ``10.3`` -> ``10.3``.

    Raises:
        InputError: not a version whose rules are known.
    """
    plain = version.removeprefix("tensorrt-")
    if plain not in OPSETS:
        known = [f"tensorrt-{name}" for name in OPSETS]
        raise InputError(f'the rules of "{version}" are not known', hint=nearest(f"tensorrt-{plain}", known, "version"))
    return plain


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
