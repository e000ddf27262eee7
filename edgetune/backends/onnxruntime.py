"""ONNX Runtime: the engine is the ONNX file, optimised when it is loaded, or its own format, optimised here.

The optimised graph of an ONNX file is not stored: it holds layouts of the processor it was made on, and would fail or
run slowly on another of the same family. ``format = "ort"`` stores it without those layouts.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.backends.onnx_graph import written_with
from edgetune.backends.processor import missing_feature
from edgetune.errors import BackendError, TargetError
from edgetune.inference import FORMAT, installed_version, session_settings
from edgetune.records import Target
from edgetune.toml import nearest

FORMATS = ("onnx", "ort")
# Release -> the newest opset and version of the file format it loads; each was asked (benchmarks/results/
# onnxruntime_releases.json). It says so itself where a file is newer.
RELEASES = {
    "1.16": (19, 9),
    "1.17": (20, 9),
    "1.18": (21, 10),
    "1.20": (21, 10),
}


def check_options(target: Target) -> None:
    """Hold a target's ``backend_options`` and ``min_runtime`` against what is known of ONNX Runtime.

    Entries with a dot are its session configuration; it refuses those it does not know when the engine is opened.

    Raises:
        TargetError: an option, a value or a release that is not known, or an opset that the release does not load.
    """
    from edgetune_runtime.session import PROVIDERS

    allowed: dict[str, tuple[Any, ...]] = {
        FORMAT: FORMATS,
        "provider": tuple(PROVIDERS),
        "arena": (True, False),
        "memory_pattern": (True, False),
    }
    for name, value in target.backend_options.items():
        if name in allowed:
            choices = allowed[name]
            if type(value) is not type(choices[0]) or value not in choices:
                words = ", ".join(str(choice).lower() for choice in choices)
                raise TargetError(f'target {target.name}: `{name}` cannot be "{value}"', hint=f"write one of: {words}")
        elif "." not in name:
            raise TargetError(
                f"target {target.name}: ONNX Runtime has no option `{name}`", hint=nearest(name, [*allowed], "option")
            )
    if target.backend_options.get(FORMAT) == "ort" and target.backend_options.get("provider", "cpu") != "cpu":
        raise TargetError(
            f'target {target.name}: `format = "ort"` is optimised for the processor, not for another provider',
            hint="take out one of `format` and `provider`",
        )
    if target.min_runtime is not None and target.opset > _limits(target.min_runtime)[0]:
        raise TargetError(
            f"target {target.name}: opset {target.opset} is too new for ONNX Runtime {target.min_runtime}",
            hint=f"set `opset = {_limits(target.min_runtime)[0]}` or less, or a newer `min_runtime`",
        )


def unavailable_reason(target: Target) -> str | None:
    """Why engines of ``target`` cannot run here: the library, its provider or a processor feature is missing."""
    if installed_version("onnxruntime") is None:
        return "onnxruntime is not installed (pip install onnxruntime)"
    provider = target.backend_options.get("provider", "cpu")
    if provider != "cpu":
        from edgetune_runtime.session_onnxruntime import lacks_provider  # loads ONNX Runtime

        reason: str | None = lacks_provider(provider)
        if reason is not None:
            return reason
    return missing_feature(target)


def compile(
    onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any], min_runtime: str | None = None
) -> dict[str, Any]:
    """Write ``folder/engine.onnx`` or ``engine.ort``, and say how to open a session on it.

    Raises:
        BackendError: the file is not there, cannot be converted, or is too new for ``min_runtime``.
    """
    if not onnx.is_file():
        raise BackendError(f"there is no {onnx.name} to compile")
    if min_runtime is not None:
        _check_release(onnx, min_runtime)
    if options.get(FORMAT) == "ort":
        from edgetune.backends.ort_format import convert

        convert(onnx, folder)
    else:
        shutil.copyfile(onnx, folder / "engine.onnx")
    return {"threads": threads, "graph_optimization": "all", **session_settings("onnxruntime", options)}


def versions() -> dict[str, str]:
    """Version of ONNX Runtime."""
    return {"onnxruntime": installed_version("onnxruntime") or "missing"}


def _limits(release: str) -> tuple[int, int]:
    limits = RELEASES.get(release)
    if limits is None:
        raise TargetError(
            f'`min_runtime` "{release}" is no release whose limits are known',
            hint=f"write one of: {', '.join(RELEASES)}",
        )
    return limits


def _check_release(onnx: Path, release: str) -> None:
    opset, format_version = written_with(onnx)
    newest = _limits(release)
    if opset > newest[0] or format_version > newest[1]:
        raise BackendError(
            f"the file has opset {opset} and format {format_version}, ONNX Runtime {release} loads up to {newest[0]} "
            f"and {newest[1]}",
            hint="raise the target's `min_runtime`, or lower its `opset`",
        )
