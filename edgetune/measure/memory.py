"""Peak memory of a bundle's engine in a process of its own, as a device would see it."""

from __future__ import annotations

from pathlib import Path

from edgetune_runtime.errors import MeasureError as ProcessError
from edgetune_runtime.fresh import PEAK_RSS, run_python

from edgetune.errors import MeasureError

# Digests and the self-test are left out: they happen once at installation and hold the golden arrays in memory.
CHILD = (
    PEAK_RSS
    + """
import sys
from edgetune_runtime import Engine

engine = Engine.open(sys.argv[1], verify=False, self_test=False, threads=int(sys.argv[2]))
array = engine.preprocessing.example()
for _ in range(int(sys.argv[3])):
    engine.run(array)
print("peak_rss_bytes", peak_rss_bytes())
"""
)


def peak_rss_bytes(bundle_dir: Path, threads: int, *, runs: int = 5) -> int:
    """Peak resident memory in bytes of a fresh process that opens the bundle and runs it ``runs`` times.

    The Python interpreter, numpy and the inference library are part of it. A text is as long as the engine takes.

    Raises:
        MeasureError: if that process fails or does not end within five minutes.
    """
    try:
        said = run_python(CHILD, str(bundle_dir), str(threads), str(runs))
    except ProcessError as error:
        raise MeasureError(
            f"the engine in {bundle_dir} could not be run: {error}",
            hint="try it by hand: edgetune-run BUNDLE IMAGE",
        ) from error
    line = next(line for line in said.splitlines() if line.startswith("peak_rss_bytes "))
    return int(line.split()[1])
