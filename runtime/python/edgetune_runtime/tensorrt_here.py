"""What of TensorRT is on this machine, and engines built by it: by trtexec, else by the Python package."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune_runtime import cuda, tensorrt_api, trtexec
from edgetune_runtime.errors import BundleError, LibraryError, RuntimeProblem
from edgetune_runtime.tensorrt_settings import UNKNOWN, Settings

MEMINFO = Path("/proc/meminfo")
MODEL = Path("/proc/device-tree/model")
TEGRA = Path("/etc/nv_tegra_release")
MOST_WORKSPACE_MB = 2048
PACKAGES = {"jetpack": "nvidia-jetpack", "tensorrt_package": "libnvinfer-bin"}


@dataclass(frozen=True)
class Here:
    """TensorRT on this machine; ``program`` is trtexec, ``package`` whether there is a Python package beside it."""

    version: tuple[int, int, int]
    program: str | None
    package: bool
    tied: dict[str, str]  # what engines built here are tied to: tensorrt, sm, gpu, arch

    @property
    def name(self) -> str:
        """``10.3.0``."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class Built:
    """An engine and what is known of it; texts are JSON as trtexec writes it, empty where there is none."""

    plan: bytes
    tied: dict[str, str]
    by: str  # trtexec | python
    seconds: float
    workspace_mb: int
    log: str = ""
    times: str = ""
    layers: str = ""
    profile: str = ""


def find() -> Here:
    """What is here.

    Raises:
        LibraryError: neither trtexec nor the Python package.
    """
    program, package = trtexec.find(), tensorrt_api.installed()
    version = trtexec.version_of(program) if program else None
    if version is None:
        program, version = None, package
    if version is None:
        raise LibraryError(
            f"the engine runs in TensorRT, of which there is neither trtexec (in PATH or {trtexec.JETPACK}) nor the "
            "Python package (on a Jetson: sudo apt install nvidia-jetpack; on a workstation: pip install tensorrt)"
        )
    tied = {"tensorrt": ".".join(map(str, version)), "arch": platform.machine() or UNKNOWN, **_gpu()}
    return Here(
        version=version, program=program, package=package == version and UNKNOWN not in tied.values(), tied=tied
    )


def describe() -> dict[str, Any] | None:
    """The same as plain data, with what a Jetson tells of its software; None: there is no TensorRT."""
    try:
        here = find()
    except LibraryError:
        return None
    jetson = {"model": _text(MODEL).strip("\0 \n"), "l4t": _text(TEGRA).partition("\n")[0].strip("# ")}
    jetson |= {key: _package(name) for key, name in PACKAGES.items()}
    return {
        **here.tied, "trtexec": here.program or UNKNOWN, "python": here.package,
        "jetson": {key: value or UNKNOWN for key, value in jetson.items()} if any(jetson.values()) else None,
    }  # fmt: skip


def build(
    here: Here, onnx: Path, settings: Settings, timings: Path, tick: Callable[[int, int, str], None] | None = None
) -> Built:
    """Build the engine of an ONNX file for this machine.

    Args:
        timings: folder for the timing caches, one for each version of TensorRT and GPU.

    Raises:
        BundleError: the file is made for another family of TensorRT. RuntimeProblem: it cannot be built; says why.
    """
    if settings.family != here.version[0]:
        raise BundleError(
            f"the ONNX file is made for TensorRT {settings.family}.x, and here is {here.name}: build again for this "
            f'device (on the desk: --device, or version = "{here.version[0]}.{here.version[1]}" for the target)'
        )
    workspace, cache = free_workspace_mb(), timings / f"timings-{here.name}-{here.tied['sm']}.cache"
    timings.mkdir(parents=True, exist_ok=True)
    if tick is not None:
        tick(0, 1, f"TensorRT {here.name} builds, which takes minutes")
    started = time.monotonic()
    if here.program is not None:
        return _by_trtexec(here, here.program, onnx, settings, cache, workspace)
    library = tensorrt_api.load()
    plan = tensorrt_api.build(library, onnx, settings, workspace_mb=workspace, timing_cache=cache)
    return Built(
        plan=plan, tied=here.tied, by="python", seconds=time.monotonic() - started, workspace_mb=workspace,
        layers=tensorrt_api.layers(library, plan),
    )  # fmt: skip


def free_workspace_mb() -> int:
    """For the builder: a quarter of the memory that is free, which on a Jetson is the GPU's too."""
    for line in _text(MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            return max(16, min(MOST_WORKSPACE_MB, int(line.split()[1]) // 4096))
    return MOST_WORKSPACE_MB


def _by_trtexec(here: Here, program: str, onnx: Path, settings: Settings, cache: Path, workspace: int) -> Built:
    with tempfile.TemporaryDirectory(prefix="edgetune-trtexec-") as name:
        folder = Path(name)
        files = {key: folder / f"{key}.out" for key in ("engine", "times", "layers", "profile")}
        command = trtexec.build_command(
            here.version[0],
            trtexec.Files(
                onnx=str(onnx.absolute()), timing_cache=str(cache), **{key: str(path) for key, path in files.items()}
            ),
            precision=settings.precision,
            shapes=trtexec.shape_flags(settings.input, settings.sample, settings.max_batch),
            workspace_mb=workspace,
            trtexec=program,
            dla_core=settings.dla_core,
        )
        started = time.monotonic()
        log = trtexec.run(command, f"build {onnx.name}", trtexec.BUILD_SECONDS)
        seconds = time.monotonic() - started
        if not files["engine"].is_file() or not files["engine"].stat().st_size:
            raise RuntimeProblem("trtexec ended well but wrote no engine")
        texts = {key: _text(files[key]) for key in ("times", "layers", "profile")}
        return Built(
            plan=files["engine"].read_bytes(), tied={**here.tied, **trtexec.device_of(log)}, by="trtexec",
            seconds=seconds, workspace_mb=workspace, log=log, **texts,
        )  # fmt: skip


def _gpu() -> dict[str, str]:
    try:
        return cuda.gpu()
    except RuntimeProblem:
        return {"gpu": UNKNOWN, "sm": UNKNOWN}


def _package(name: str) -> str:
    """The version of a Debian package, or nothing."""
    if shutil.which("dpkg-query") is None:
        return ""
    command = ["dpkg-query", "-W", "-f=${Version}", name]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
