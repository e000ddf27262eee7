"""Jobs of ``agent`` that are TensorRT's: build an engine from an ONNX file, and time engines by trtexec.

The protocol of timing is edgetune's own as far as trtexec lets it: engines take turns in random order, each turn is a
process of its own that loads the engine anew, and all raw values are kept. Times are those of the GPU computing
(``computeMs``): copies and the host's share are no part of them.
"""

from __future__ import annotations

import base64
import math
import os
import random
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune_runtime import machine, tensorrt_here, trtexec
from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.latency import LOADS, WARMUP_SHARE
from edgetune_runtime.session_tensorrt import cache_folder
from edgetune_runtime.tensorrt_settings import foreign, read_settings
from edgetune_runtime.watch import watched

Say = Callable[[dict[str, Any]], None]
Tick = Callable[[int, int, str], None]
CHUNK = 1 << 20
LOG_BYTES = 1 << 20
TEXTS = ("log", "times", "layers", "profile")
FEWEST = 20  # inferences of a turn
MOST = 5000


def build(job: dict[str, Any], say: Say, tick: Tick) -> dict[str, Any]:
    """Build the engine of ``onnx`` as ``session`` says; the plan and trtexec's files come in parts."""
    settings, here = read_settings(job["session"]), tensorrt_here.find()
    with watched() as state:  # kernels are chosen by timing them
        built = tensorrt_here.build(here, Path(job["onnx"]), settings, cache_folder(), tick)
    contents = {key: getattr(built, key).encode()[-LOG_BYTES if key == "log" else 0 :] for key in TEXTS}
    for name, content in {"plan": built.plan, **contents}.items():
        for start in range(0, len(content), CHUNK):
            piece = base64.b64encode(content[start : start + CHUNK]).decode("ascii")
            say({"part": {"file": name, "bytes": piece}})
    return {
        "tied": built.tied, "by": built.by, "seconds": built.seconds, "workspace_mb": built.workspace_mb,
        "about": tensorrt_here.describe(), "telemetry": state,
    }  # fmt: skip


def times(job: dict[str, Any], tick: Tick) -> dict[str, Any]:
    """Raw times of every engine of ``engines`` {name, file, session}, and the state of the device meanwhile."""
    here, spec = tensorrt_here.find(), job["spec"]
    if here.program is None:
        raise RuntimeProblem("there is no trtexec to time engines with")
    turns = {one["name"]: _Turn(here, one) for one in job["engines"]}
    order, names = random.Random(job["seed"]), list(turns)
    counts = _counts(turns, spec)
    with watched() as state:
        for load in range(LOADS):
            order.shuffle(names)
            for name in names:
                turns[name].run(counts[load])
            tick(load + 1, LOADS, f"{len(turns)} engines in turn, each loaded {load + 1} times")
    return {
        "raw": {name: turn.raw for name, turn in turns.items()},
        "peak_rss_bytes": {name: turn.peak_rss_bytes for name, turn in turns.items()},
        "device": machine.describe(),
        "tensorrt": tensorrt_here.describe(),
        "telemetry": state,
    }


class _Turn:
    """One engine's turns: trtexec loads it, warms up and times it."""

    def __init__(self, here: tensorrt_here.Here, one: dict[str, Any]) -> None:
        self.program, self.file, self.name = str(here.program), one["file"], one["name"]
        self.settings = read_settings(one["session"])
        if self.settings.plan is not None and (why := foreign(self.settings.plan, here.tied)):
            raise RuntimeProblem(f"{self.name}: its engine cannot run here: {why}")
        self.raw: dict[str, Any] = {
            "values": [], "warmup_values": [], "steady": True, "runs_per_round": 1, "runs_by_load": [],
        }  # fmt: skip
        self.peak_rss_bytes = 0

    def measure(self, iterations: int) -> tuple[list[float], list[float]]:
        """(warm-up, timed) milliseconds: releases before 10 list the inferences of the warm-up too, ahead."""
        with tempfile.TemporaryDirectory(prefix="edgetune-trtexec-") as folder:
            file = Path(folder) / "times.json"
            settings = self.settings
            command = trtexec.timing_command(
                self.program, self.file, str(file), iterations=iterations, dla_core=settings.dla_core,
                shapes=(f"--shapes={trtexec.shape(settings.input, settings.sample, 1)}",),
            )  # fmt: skip
            peak = _run(command, f"time {self.name}")
            self.peak_rss_bytes = max(self.peak_rss_bytes, peak)
            values = trtexec.read_times(file)
        if len(values) < iterations:
            raise RuntimeProblem(f"trtexec timed {len(values)} inferences of {self.name} instead of {iterations}")
        return values[:-iterations], values[-iterations:]

    def run(self, iterations: int) -> None:
        """One turn of the measurement."""
        warm, values = self.measure(iterations)
        self.raw["warmup_values"] += warm
        self.raw["values"] += values
        self.raw["runs_by_load"].append(iterations)


def _counts(turns: dict[str, _Turn], spec: dict[str, Any]) -> list[int]:
    """How many inferences each turn times, the same for all engines.

    Enough of both runs and seconds for the fastest, and for the slowest no more seconds than are allowed. A short first
    turn of each, which is a warm-up, tells how fast they are.
    """
    medians = []
    for turn in turns.values():
        warm, values = turn.measure(FEWEST)
        turn.raw["warmup_values"] += warm + values
        medians.append(max(statistics.median(values), 1e-3))
    seconds = spec["min_seconds"] / LOADS
    wanted = max(math.ceil(spec["min_runs"] / LOADS), math.ceil(1e3 * seconds / min(medians)))
    most = (1 - WARMUP_SHARE) * 1e3 * spec["max_seconds"] / LOADS / max(medians)
    return [max(1, min(wanted, int(most), MOST))] * LOADS


def _run(command: tuple[str, ...], what: str) -> int:
    """Run trtexec to its end; returns its peak resident memory in bytes (the GPU's is no part of it)."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        except OSError as problem:
            raise RuntimeProblem(f"{command[0]} cannot be started: {problem.strerror}") from problem
        limit = threading.Timer(trtexec.RUN_SECONDS, process.kill)
        limit.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            log = said.read().decode(errors="replace")
            why = trtexec.reason(log) or f"exit code {process.returncode}"
            raise RuntimeProblem(f"trtexec could not {what}: {why}")
    return int(usage.ru_maxrss) * 1024
