"""The state of this machine before, while and after engines are timed.

What is timed must not wait for whoever looks, so a process of its own looks: ``python -m edgetune_runtime.watch``, of
low priority, until its standard input ends, which it does with the process that measures, however that ends. It keeps
what it saw to itself until then: nobody reads or writes meanwhile.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from edgetune_runtime import machine, sensors

SECONDS = 1.0  # between two looks, or more:
SHARE = 0.01  # of one core's time that looking may take
MOST = 600  # looks that are kept; then every second one goes, and the pauses are twice as long
NICE = 10
PATIENCE_SECONDS = 10.0


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """``before``; and once the body has ended ``after`` and ``during``, a list of looks with their ``seconds``.

    A look holds what ``machine.changing`` tells, ``power_w`` by what is measured, and on a Jetson the GPU's load
    and clock. ``during`` is empty where no second process can be had.
    """
    state: dict[str, Any] = {"before": machine.telemetry()}
    process = _start()
    try:
        yield state
    finally:
        state["after"] = machine.telemetry()
        state["during"] = _end(process)


def _start() -> subprocess.Popen[str] | None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "edgetune_runtime.watch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    except OSError:
        return None


def _end(process: subprocess.Popen[str] | None) -> list[dict[str, Any]]:
    """What the watching process saw."""
    if process is None:
        return []
    try:
        told: list[dict[str, Any]] = json.loads(process.communicate(timeout=PATIENCE_SECONDS)[0])
        return told
    except (subprocess.TimeoutExpired, OSError, ValueError):
        process.kill()
        process.communicate()
        return []


# --- in the process that watches ------------------------------------------------------------


def main() -> int:
    """Look until standard input ends, then print what was seen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever measures; we end with it
    with suppress(OSError):
        os.nice(NICE)
    seen: list[dict[str, Any]] = []
    begun, pause, rapl = time.monotonic(), SECONDS, sensors.RaplPower()
    with _tegrastats() as latest:
        while True:
            used = _cpu_seconds()
            seen.append({"seconds": round(time.monotonic() - begun, 3), **_look(rapl, latest)})
            if len(seen) >= MOST:
                del seen[1::2]
                pause *= 2
            if select.select([sys.stdin], [], [], max(pause, (_cpu_seconds() - used) / SHARE))[0]:
                break
    sys.stdout.write(json.dumps(seen))
    sys.stdout.flush()
    return 0


def _look(rapl: sensors.RaplPower, latest: list[str]) -> dict[str, Any]:
    found = {**machine.changing(), **(sensors.tegrastats(latest[0]) if latest else {})}
    power = {**rapl.read(), **sensors.power_w(machine.SYS), **found.get("power_w", {})}
    return {**found, "power_w": power} if power else found


def _cpu_seconds() -> float:
    """What this process and the tools it asked have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def _tegrastats() -> Iterator[list[str]]:
    """The latest line of a Jetson's ``tegrastats``, which prints one a second; none elsewhere, or not yet."""
    latest: list[str] = []
    if shutil.which("tegrastats") is None:
        yield latest
        return
    process = subprocess.Popen(
        ["tegrastats", "--interval", str(int(1000 * SECONDS))], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, errors="replace",
    )  # fmt: skip

    def read() -> None:
        for line in process.stdout or ():
            latest[:] = [line.strip()]

    threading.Thread(target=read, daemon=True).start()
    try:
        yield latest
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)


if __name__ == "__main__":
    sys.exit(main())
