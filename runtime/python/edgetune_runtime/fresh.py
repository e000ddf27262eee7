"""What an engine costs in a process of its own: loading, the first inference, peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime.errors import MeasureError

TIMEOUT_SECONDS = 300
MARK = "edgetune-fresh "

# VmHWM counts from exec; ru_maxrss (the way elsewhere, in bytes on macOS) would on Linux start at what
# the parent had at the fork.
PEAK_RSS = """
def peak_rss_bytes():
    import sys
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
"""
CHILD = (
    PEAK_RSS
    + """
import json, sys, time
import numpy
start = time.perf_counter()
from edgetune_runtime.session import library, open_session
wanted = json.loads(sys.argv[1])
library(wanted["session"])
with numpy.load(wanted["inputs"], allow_pickle=False) as arrays:
    feed = {name: arrays[f"i{number}"] for number, name in enumerate(wanted["names"])}
try:
    begin = time.perf_counter()
    session = open_session(wanted["file"], wanted["session"], wanted["threads"])
    loaded = time.perf_counter()
    session.run(None, feed)
    first = time.perf_counter()
    for _ in range(wanted["runs"]):
        session.run(None, feed)
except Exception as problem:
    sys.exit(" ".join(str(problem).split()))
print(wanted["mark"] + json.dumps({
    "load_ms": 1e3 * (loaded - begin), "first_ms": 1e3 * (first - loaded), "peak_rss_bytes": peak_rss_bytes()}))
"""
)


@dataclass(frozen=True)
class FreshStart:
    """One fresh process: milliseconds to make the session and for the first inference, and peak memory.

    The file was in the operating system's cache. Python, numpy and the library are part of the memory,
    and no part of the times.
    """

    load_ms: float
    first_ms: float
    peak_rss_bytes: int


def fresh_start(
    file: Path, session: Mapping[str, Any], inputs: Mapping[str, np.ndarray], *, threads: int, runs: int = 5
) -> FreshStart:
    """Load ``file`` in a fresh process and run it once, then ``runs`` times more.

    Raises:
        MeasureError: the process fails, dies or does not end; the message is the library's.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-bench-") as folder:
        arrays = Path(folder) / "inputs.npz"
        np.savez(arrays, **{f"i{number}": array for number, array in enumerate(inputs.values())})
        wanted = {
            "file": str(file),
            "session": dict(session),
            "threads": threads,
            "inputs": str(arrays),
            "names": list(inputs),
            "runs": runs,
            "mark": MARK,
        }
        said = run_python(CHILD, json.dumps(wanted))
    line = next(line for line in said.splitlines() if line.startswith(MARK))
    return FreshStart(**json.loads(line.removeprefix(MARK)))


def run_python(code: str, *args: str) -> str:
    """Stdout of a fresh interpreter that runs ``code`` and finds the same libraries as this one.

    Raises:
        MeasureError: with its last words, if it fails, is killed or does not end within five minutes.
    """
    # The library's own search path goes along, so that a runtime that is not installed is found too.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = os.environ | {"PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", code, *args]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(f"its process did not end within {TIMEOUT_SECONDS} s") from error
    if done.returncode == 0:
        return done.stdout
    if done.returncode < 0:
        raise MeasureError(f"its process was killed by {signal.Signals(-done.returncode).name}")
    raise MeasureError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
