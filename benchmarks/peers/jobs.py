"""Run one command as its user would, and write down what it cost or how it failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
TOLD = 300  # characters of a failure
# The command's parent, and a small one: a process inherits its parent's peak of memory.
LAUNCHER = """
import json, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
found = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024}
open(sys.argv[1], "w").write(json.dumps(found))
sys.exit(status if status >= 0 else 128 - status)
"""


def run_command(command: Sequence[str], folder: Path, *, limit_seconds: float) -> dict[str, Any]:
    """Wall and processor seconds, peak memory, and ``failure`` (None if it ended well) of a process in ``folder``.

    Peak memory is the largest resident set of the process or of any one of its children, in bytes; it and the processor
    time are None for one that had to be stopped. What it said is in ``folder/log.txt``.
    """
    environment = {**os.environ, **THREADS, "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    usage, log = folder / "usage.json", folder / "log.txt"
    whole = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(usage), *command]
    found: dict[str, Any] = {"cpu_seconds": None, "peak_rss_bytes": None, "failure": None}
    started = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(whole, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            if process.wait(limit_seconds) != 0:
                found["failure"] = last_words(log)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            found["failure"] = f"not done after {limit_seconds / 60:.0f} minutes"
    found["seconds"] = time.monotonic() - started
    return found | (json.loads(usage.read_text()) if usage.exists() else {})


def last_words(log: Path) -> str:
    """The last line of a log that says what is wrong, without folders of this machine."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
    words = [Path(bare).name if (bare := word.strip("'\",")).startswith("/") else word for word in told.split()]
    return " ".join(words)[:TOLD] or "it said nothing"


def fresh_folder(path: Path) -> Path:
    """``path``, empty."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
