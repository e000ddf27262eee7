"""Peak memory of an engine in a process of its own, as a device would see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgetune.errors import MeasureError

TIMEOUT_SECONDS = 300

# Runs in a fresh interpreter. VmHWM counts from exec; ru_maxrss (the way elsewhere, in bytes on
# macOS) would on Linux start at what the parent had at the fork. Digests and the self-test are left
# out: they happen once at installation and hold the golden arrays in memory.
CHILD = """
import sys
import numpy
from edgetune_runtime import Engine

engine = Engine.open(sys.argv[1], verify=False, self_test=False, threads=int(sys.argv[2]))
entry = engine.manifest["inputs"][0]
shape = [n if isinstance(n, int) else 1 for n in entry["shape"]]
array = numpy.zeros(shape, dtype=entry["dtype"])
for _ in range(int(sys.argv[3])):
    engine.run(array)
try:
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
except (OSError, StopIteration):
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print("peak_rss_bytes", peak)
"""


def peak_rss_bytes(bundle_dir: Path, threads: int, *, runs: int = 5) -> int:
    """Peak resident memory in bytes of a fresh process that opens the bundle and runs it ``runs`` times.

    The Python interpreter, numpy and the inference library are part of it.

    Raises:
        MeasureError: if that process fails or does not end within five minutes.
    """
    # The library's own search path goes along, so that a runtime that is not installed is found too.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = os.environ | {"PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", CHILD, str(bundle_dir), str(threads), str(runs)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MeasureError(
            f"measuring the memory of {bundle_dir} did not end within {TIMEOUT_SECONDS} s",
            hint="try the engine by hand: edgetune-run BUNDLE IMAGE",
        ) from error
    for line in done.stdout.splitlines():
        if line.startswith("peak_rss_bytes "):
            return int(line.split()[1])
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise MeasureError(f"the engine in {bundle_dir} could not be run: {last}", hint="edgetune doctor")
