"""OpenVINO on the CPU: the engine is the ONNX file, compiled for the processor when it is loaded.

OpenVINO reads QuantizeLinear and DequantizeLinear, and its low-precision transformations run what lies between them in
integers (https://docs.openvino.ai/2025/documentation/openvino-extensibility/openvino-plugin-library/advanced-guides/low-precision-transformations/quantization-scheme.html).
The settings are those of ``edgetune_runtime.session_openvino``; they go into the manifest, so that a bundle says them.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.backends.processor import missing_feature
from edgetune.errors import BackendError, TargetError
from edgetune.inference import installed_version
from edgetune.records import Target

PINNED = {
    "INFERENCE_PRECISION_HINT": "engines compute in the precision they are named after",
    "INFERENCE_NUM_THREADS": "the recipe's `[bench] threads` says it",
}


def check_options(target: Target) -> None:
    """Hold a target's ``backend_options`` against what edgetune settles itself.

    Raises:
        TargetError: one that may not be chosen.
    """
    for name, why in PINNED.items():
        if name in target.backend_options:
            raise TargetError(f"target {target.name}: `{name}` cannot be chosen: {why}", hint="take it out of its file")


def unavailable_reason(target: Target) -> str | None:
    """Why engines of ``target`` cannot run here: the library or a processor feature is missing."""
    if installed_version("openvino") is None:
        return "openvino is not installed (pip install 'edgetune[openvino]', or pip install openvino)"
    return missing_feature(target)


def compile(onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the file to ``folder/engine.onnx`` and say how to open a session on it.

    Raises:
        BackendError: the file is not there.
    """
    from edgetune_runtime.session_openvino import SETTINGS  # loads OpenVINO

    if not onnx.is_file():
        raise BackendError(f"there is no {onnx.name} to compile")
    shutil.copyfile(onnx, folder / "engine.onnx")
    return {"threads": threads, "config": {**SETTINGS, **options}}


def versions() -> dict[str, str]:
    """Version of OpenVINO."""
    return {"openvino": installed_version("openvino") or "missing"}
