"""This machine as a device: jobs that need a process of their own, such as TensorRT's, done as on any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgetune_runtime

from edgetune.devices.answers import followed
from edgetune.devices.protocol import Device, Part, ignore
from edgetune.errors import BackendError, DeviceError
from edgetune.progress import Tick, silent


@dataclass(slots=True, kw_only=True)
class ThisMachine(Device):
    """See ``protocol.Device``."""

    name: str = "local"
    _about: dict[str, Any] | None = None

    def about(self) -> Mapping[str, Any]:
        """See ``protocol.Device.about``."""
        if self._about is None:
            self._about = self.look()
        return self._about

    def do(
        self,
        job: Mapping[str, Any],
        files: Mapping[str, Path],
        *,
        limit_seconds: float,
        progress: Tick = silent,
        part: Part = ignore,
    ) -> dict[str, Any]:
        """See ``protocol.Device.do``."""
        with tempfile.TemporaryDirectory(prefix="edgetune-job-") as name:
            folder = Path(name)
            for place, source in files.items():
                _put(source, folder / place)
            (folder / "job.json").write_text(json.dumps(dict(job)), encoding="utf-8")
            return _run(folder, limit_seconds, progress, part)

    def close(self) -> None:
        """Nothing is open."""


def _put(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except OSError:  # another disk
        shutil.copyfile(source, place)


def _run(folder: Path, limit_seconds: float, progress: Tick, part: Part) -> dict[str, Any]:
    """The result of the job in ``folder``; whatever it starts ends with it."""
    package = str(Path(edgetune_runtime.__file__).parent.parent)
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    with (folder / "words").open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgetune_runtime.agent", str(folder / "job.json")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"},
        )  # fmt: skip
    late = threading.Event()
    limit = threading.Timer(limit_seconds, lambda: _end(process, late))
    limit.start()
    result: dict[str, Any] | None = None
    try:
        assert process.stdout is not None
        for answer in followed(process.stdout, progress, part):
            if "error" in answer:
                raise _refused(answer)
            result = answer.get("result", result)
        process.wait()
    finally:
        limit.cancel()
        _end(process)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if result is None:
        last = (folder / "words").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = f"was ended after {limit_seconds:g} s" if late.is_set() else f"ended with status {process.returncode}"
        raise DeviceError(f"this machine: the job {why}", hint=last[-1] if last else None)
    return result


def _refused(answer: Mapping[str, Any]) -> BackendError | DeviceError:
    text = f"on this machine: {answer['error']}"
    if answer.get("kind") == "engine":
        return BackendError(text, hint="the inference library here refuses it, or computes it otherwise")
    if answer.get("kind") == "space":
        return DeviceError(text, hint=f"free some space in {tempfile.gettempdir()}, or set TMPDIR")
    return DeviceError(text, hint="install what is missing for this Python")


def _end(process: subprocess.Popen[bytes], late: threading.Event | None = None) -> None:
    if late is not None:
        late.set()
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
