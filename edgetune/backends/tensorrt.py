"""TensorRT: engines are built on the device that runs them, because they are tied to its GPU and library version.

The device does it by ``edgetune_runtime.tensorrt_jobs``: over SSH, or on this very machine, in a process of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetune_runtime import tensorrt_here

from edgetune.backends.device_script import NAME
from edgetune.backends.tensorrt_versions import WITH_DLA, Release, find_release, installed_release
from edgetune.errors import BackendError, TargetError
from edgetune.plan.quantizing import HALF_OPSET
from edgetune.records import Target
from edgetune.toml import nearest

OLDEST_OPSET = 13  # the first with per-channel scales
MOST_BATCH = 4096
UNKNOWN = "unknown"
OPTIONS: dict[str, tuple[type, str]] = {
    "version": (str, '"10.3"'),
    "gpus": (list, '["8.7"]'),
    "dla_cores": (int, "2"),
    "dla": (bool, "true"),
    "max_batch": (int, "1"),
}


def check_options(target: Target) -> Release:
    """The release a target's files are made for.

    Raises:
        TargetError: it names none, an opset that release does not read, an option that is not known or cannot be.
        InputError: an unknown release.
    """
    options = target.backend_options
    version = options.get("version")
    if version is not None and not isinstance(version, str):
        raise TargetError(
            f"target {target.name}: `version` cannot be {version!r}", hint=f'write `version = "{version}"`'
        )
    if version is None:
        raise TargetError(
            f"target {target.name} does not say which TensorRT it is for",
            hint='write `[backend_options]` with `version = "10.3"` into its file',
        )
    for key, value in options.items():
        if key not in OPTIONS:
            raise TargetError(
                f"target {target.name}: TensorRT has no option `{key}` here", hint=nearest(key, [*OPTIONS], "option")
            )
        kind, example = OPTIONS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TargetError(f"target {target.name}: `{key}` cannot be {value!r}", hint=f"write `{key} = {example}`")
    if not 1 <= options.get("max_batch", 1) <= MOST_BATCH:
        raise TargetError(f"target {target.name}: `max_batch` must be 1 to {MOST_BATCH}", hint="1 is the fastest")
    release = find_release(version)
    oldest = HALF_OPSET if release.strongly_typed else OLDEST_OPSET
    if not oldest <= target.opset <= release.newest_opset:
        raise TargetError(
            f"target {target.name}: opset {target.opset} is not for TensorRT {release.name}",
            hint=f'build for a target file with `extends = "{target.name}"`, `opset = {min(20, release.newest_opset)}` '
            f'({oldest} to {release.newest_opset}) and under `[backend_options]` `version = "{release.name}"`',
        )
    if options.get("dla"):
        _check_dla(target, release)
    return release


def dla_core(options: Mapping[str, Any]) -> int | None:
    """The deep-learning accelerator that a target's engines are for; None: the GPU."""
    return 0 if options.get("dla") else None


def fit(target: Target, installed: str) -> Target:
    """The target for a device that has TensorRT ``installed`` (10.7.0): its rules, and an opset that it reads.

    Raises:
        InputError: a version of which no rules are known.
    """
    release = installed_release(installed)
    oldest = HALF_OPSET if release.strongly_typed else OLDEST_OPSET
    fine = oldest <= target.opset <= release.newest_opset
    return replace(
        target,
        opset=target.opset if fine else min(20, release.newest_opset),
        backend_options={**target.backend_options, "version": release.name},
    )


def unavailable_reason(target: Target) -> str | None:
    """Why engines of ``target`` cannot be built and run on this machine; None: they can."""
    here = tensorrt_here.describe()
    if here is None:
        return f"TensorRT is not installed here; the engine must be built on the {target.name} itself"
    return why_not_on(target, here)


def why_not_on(target: Target, tensorrt: Mapping[str, Any] | None) -> str | None:
    """Why a device with ``tensorrt`` (of ``edgetune_runtime.tensorrt_here.describe``) is not one of ``target``'s.

    An engine for a workstation's GPU is never handed to a Jetson, nor the other way round: besides the processor, the
    GPU's compute capability must be one of the target's. Where it is unknown, TensorRT refuses foreign engines itself.
    """
    if tensorrt is None:
        return "it has no trtexec and no Python package of TensorRT (on a Jetson: sudo apt install nvidia-jetpack)"
    wanted, jetson = target.backend_options.get("gpus"), tensorrt.get("jetson")
    if wanted and tensorrt["sm"] not in (UNKNOWN, *wanted):
        return (
            f"its GPU ({tensorrt['gpu']}) has compute capability {tensorrt['sm']}, the target's {' or '.join(wanted)}"
        )
    if tensorrt["sm"] == UNKNOWN and tensorrt["trtexec"] == UNKNOWN:
        return "TensorRT's Python package is there, but no NVIDIA driver"
    if jetson and target.arch == "x86_64":
        return "it is a Jetson, whose engines are those of a Jetson's target"
    return None


def compile(onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Refused: ``edgetune.steps.compile`` has the device do it."""
    raise BackendError(
        "engines for TensorRT are built on their device, not here",
        hint=f"on the device: sh {NAME}, which calls trtexec; or from here: --device ssh://user@jetson",
    )


def versions() -> dict[str, str]:
    """Version of TensorRT on this machine; no library is loaded."""
    here = tensorrt_here.describe()
    return {} if here is None else {"tensorrt": str(here["tensorrt"])}


def _check_dla(target: Target, release: Release) -> None:
    """Raises a TargetError where there is no deep-learning accelerator to run on."""
    if not target.backend_options.get("dla_cores"):
        raise TargetError(
            f"target {target.name}: `dla = true`, and this module has no deep-learning accelerator",
            hint="Jetson Orin NX and AGX Orin have one; take `dla` out for the GPU",
        )
    if release.name not in WITH_DLA:
        raise TargetError(
            f"target {target.name}: TensorRT {release.name} does not run on the deep-learning accelerator",
            hint="up to 10.7 it does (JetPack 6: 10.3), and 11.4 on AGX Orin under JetPack 7.2.2; take `dla` out else",
        )
    if target.backend_options.get("max_batch", 1) != 1:
        raise TargetError(
            f"target {target.name}: the deep-learning accelerator takes one shape only", hint="write `max_batch = 1`"
        )
