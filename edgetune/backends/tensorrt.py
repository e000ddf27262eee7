"""TensorRT: engines are built on the device that runs them, because they are tied to its GPU and library version."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgetune.backends.device_script import JETPACK_TRTEXEC, NAME
from edgetune.backends.tensorrt_versions import Release, find_release
from edgetune.errors import BackendError, TargetError
from edgetune.plan import HALF_OPSET
from edgetune.records import Target

OLDEST_OPSET = 13  # the first with per-channel scales


def check_options(target: Target) -> Release:
    """The release a target's files are made for.

    Raises:
        TargetError: it names none, or an opset that release does not read. InputError: an unknown release.
    """
    version = target.backend_options.get("version")
    if not isinstance(version, str):
        raise TargetError(
            f"target {target.name} does not say which TensorRT it is for",
            hint='write `[backend_options]` with `version = "10.3"` into its file',
        )
    release = find_release(version)
    oldest = HALF_OPSET if release.strongly_typed else OLDEST_OPSET
    if not oldest <= target.opset <= release.newest_opset:
        raise TargetError(
            f"target {target.name}: opset {target.opset} is not for TensorRT {release.name}",
            hint=f"write `opset = {min(20, release.newest_opset)}` into its file ({oldest} to {release.newest_opset})",
        )
    return release


def unavailable_reason(target: Target) -> str | None:
    """Always a reason for now: this version prepares the ONNX and does not build engines."""
    if find_spec("tensorrt") is None and shutil.which("trtexec") is None and not Path(JETPACK_TRTEXEC).exists():
        return f"TensorRT is not installed here; the engine must be built on the {target.name} itself"
    return "this version of edgetune prepares TensorRT's ONNX and does not build the engine yet"


def compile(onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Refused, see ``unavailable_reason``."""
    raise BackendError(
        "engines for TensorRT are not built by this version of edgetune",
        hint=f"on the device: sh {NAME}, which calls trtexec; `edgetune build` puts it beside the prepared files",
    )


def versions() -> dict[str, str]:
    """No library is loaded."""
    return {}
