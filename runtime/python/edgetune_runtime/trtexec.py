"""trtexec, TensorRT's command line: where it is, how it is called by family of releases, and what it writes.

Sources: ``samples/common/sampleOptions.cpp``, ``sampleInference.cpp`` and ``sampleReporting.cpp`` in
github.com/NVIDIA/TensorRT (8.4 to 10.x), and NVIDIA's guide to migrating trtexec from 10.x to 11.x. Nothing here was
run with the real trtexec yet.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime.errors import RuntimeProblem

JETPACK = "/usr/src/tensorrt/bin/trtexec"
# A network without types is given the precisions it may use. --stronglyTyped takes those of the ONNX file instead;
# 11 has removed the precision flags, and the types of the file always count.
PRECISION_FLAGS: dict[int, dict[str, tuple[str, ...]]] = {
    8: {"fp16": ("--fp16",), "int8": ("--fp16", "--int8")},
    10: {"fp16": ("--stronglyTyped",), "int8": ("--stronglyTyped",)},
    11: {"fp16": (), "int8": ()},
}
# For DLA trtexec itself sets the builder's FP16 flag (sampleEngines.cpp), which no strongly typed network takes.
DLA_PRECISION_FLAGS: dict[int, dict[str, tuple[str, ...]]] = {**PRECISION_FLAGS, 10: PRECISION_FLAGS[8]}
# The same for all families and precisions: latency of the engine alone, without copies and with the least of the host.
TIMING = ("--useCudaGraph", "--noDataTransfers", "--useSpinWait")
MEASURING = (*TIMING, "--separateProfileRun")
DETAILED = "--profilingVerbosity=detailed"  # else layers are told by their names only
PERCENTILES = "--percentile=50,90,95,99"  # 8.x before 8.5 takes one only, and the raw times are exported anyway
BANNER = re.compile(r"\[TensorRT v([0-9.]+)\]")
SM = re.compile(r"\] Compute Capability: ([0-9]+\.[0-9]+)")  # of "=== Device Information ==="
GPU = re.compile(r"\] Selected Device: (.+)")
WARM_UP_MS = 200
LOOK_SECONDS = 60
RUN_SECONDS = 300
BUILD_SECONDS = 3600


@dataclass(frozen=True)
class Files:
    """Where trtexec reads and writes for one engine."""

    onnx: str
    engine: str
    timing_cache: str
    times: str
    layers: str
    profile: str


def find() -> str | None:
    """The program in PATH, or where JetPack puts it."""
    return shutil.which("trtexec") or (JETPACK if Path(JETPACK).is_file() else None)


def version_of(program: str) -> tuple[int, int, int] | None:
    """What TensorRT it is of; None: it does not say."""
    try:
        said = subprocess.run(
            [program, "--help"], capture_output=True, text=True, errors="replace", timeout=LOOK_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(said.stdout + said.stderr)


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The version in trtexec's first line: ``[TensorRT v8602]``, ``v100300`` or ``v11.1.0.106``; None: not there."""
    match = BANNER.search(text)
    if match is None:
        return None
    numbers = match.group(1).strip(".").split(".")
    if len(numbers) > 1:
        major, minor, patch = (int(number or 0) for number in (*numbers, "0")[:3])
        return major, minor, patch
    number = int(numbers[0] or 0)
    hundreds = 10 if number < 10_000 else 100  # from 10 on, two digits for the minor version
    return number // (100 * hundreds), number // 100 % hundreds, number % 100


def precision_flags(family: int, precision: str, dla_core: int | None = None) -> tuple[str, ...]:
    """What tells TensorRT the arithmetic of an engine; FP16 may always be used beside INT8."""
    if dla_core is None:
        return PRECISION_FLAGS[family][precision]
    return (*DLA_PRECISION_FLAGS[family][precision], f"--useDLACore={dla_core}", "--allowGPUFallback")


def shape_flags(name: str, sample: Sequence[int], max_batch: int) -> tuple[str, ...]:
    """The shapes an engine takes: one sample, which it is made fast for, up to ``max_batch``."""
    if max_batch == 1:
        return (f"--shapes={shape(name, sample, 1)}",)
    flags = (("min", 1), ("opt", 1), ("max", max_batch))
    return tuple(f"--{which}Shapes={shape(name, sample, batch)}" for which, batch in flags)


def shape(name: str, sample: Sequence[int], batch: int) -> str:
    """``image:1x3x224x224``."""
    return f"{name}:{'x'.join(map(str, (batch, *sample)))}"


def build_command(
    family: int,
    files: Files,
    *,
    precision: str | None,
    shapes: Sequence[str],
    workspace_mb: int | str,
    trtexec: str,
    dla_core: int | None = None,
) -> tuple[str, ...]:
    """The arguments that build, save and time one engine.

    Args:
        precision: ``fp16`` or ``int8``; None leaves these flags out (they are added later, as ``"$@"``).
        shapes: of ``shape_flags``.
        workspace_mb: MiB; text, for a variable of a shell.
        dla_core: the deep-learning accelerator that takes what layers it can; None: the GPU takes all.
    """
    return (
        trtexec,
        f"--onnx={files.onnx}",
        f"--saveEngine={files.engine}",
        *shapes,
        *(precision_flags(family, precision, dla_core) if precision else ()),
        f"--memPoolSize=workspace:{workspace_mb}",
        f"--timingCacheFile={files.timing_cache}",
        *MEASURING,
        DETAILED,
        *((PERCENTILES,) if family >= 10 else ()),
        f"--exportTimes={files.times}",
        f"--exportLayerInfo={files.layers}",
        f"--exportProfile={files.profile}",
    )


def timing_command(
    trtexec: str, engine: str, times: str, *, shapes: Sequence[str], iterations: int, dla_core: int | None = None
) -> tuple[str, ...]:
    """The arguments that time a built engine: exactly ``iterations`` inferences after the warm-up."""
    return (
        trtexec,
        f"--loadEngine={engine}",
        *shapes,
        *(() if dla_core is None else (f"--useDLACore={dla_core}",)),
        f"--warmUp={WARM_UP_MS}",
        "--duration=0",
        f"--iterations={iterations}",
        *TIMING,
        f"--exportTimes={times}",
    )


def inference_command(
    trtexec: str, engine: str, *, shapes: Sequence[str], inputs: str, output: str, dla_core: int | None = None
) -> tuple[str, ...]:
    """The arguments that run a built engine once; ``inputs`` is ``name:file`` with the tensor's bytes in row order."""
    return (
        trtexec,
        f"--loadEngine={engine}",
        *shapes,
        *(() if dla_core is None else (f"--useDLACore={dla_core}",)),
        "--warmUp=0",
        "--duration=0",
        "--iterations=1",
        f"--loadInputs={inputs}",
        f"--exportOutput={output}",
    )


def run(command: Sequence[str], what: str, seconds: float) -> str:
    """Everything trtexec says while it runs to its end.

    Raises:
        RuntimeProblem: it fails or does not end in time; with its own errors.
    """
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=seconds,
            text=True, errors="replace", check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as problem:
        raise RuntimeProblem(f"trtexec did not {what} within {seconds:g} s") from problem
    except OSError as problem:
        raise RuntimeProblem(f"{command[0]} cannot be started: {problem.strerror}") from problem
    if done.returncode:
        raise RuntimeProblem(f"trtexec could not {what}: {reason(done.stdout) or f'exit code {done.returncode}'}")
    return done.stdout


def reason(log: str) -> str:
    """The first errors of a log, shortened."""
    lines = [line.split("[E]", 1)[1].strip() for line in log.splitlines() if "[E]" in line]
    return "; ".join(lines[:3])[:600]


def device_of(log: str) -> dict[str, str]:
    """The GPU that trtexec chose, as it says itself: ``gpu`` (its name) and ``sm`` (compute capability)."""
    found = {"gpu": GPU.search(log), "sm": SM.search(log)}
    return {key: match.group(1).strip() for key, match in found.items() if match}


def read_times(path: Path) -> list[float]:
    """GPU compute time of each timed inference, in ms, in order, from ``--exportTimes``.

    Raises:
        RuntimeProblem: not such a file, or no inference in it.
    """
    rows = read_json(path, "times", list)
    try:
        values = [float(row["computeMs"]) for row in rows]
    except (KeyError, TypeError, ValueError) as problem:
        raise wrong(path, "times", f"an inference without a computeMs ({problem})") from problem
    if not values or not all(0 <= value < float("inf") for value in values):
        raise wrong(path, "times", "no inference, or a time below 0")
    return values


def read_output(path: Path) -> dict[str, np.ndarray]:
    """{name: float32 array} from ``--exportOutput``.

    Raises:
        RuntimeProblem: not such a file, or values that do not fill the shape.
    """
    found = {}
    for tensor in read_json(path, "output", list):
        try:
            dimensions = [int(part) for part in str(tensor["dimensions"]).lower().split("x") if part]
            values = np.asarray(tensor["values"], dtype=np.float32)
            found[str(tensor["name"])] = values.reshape(dimensions)
        except (KeyError, TypeError, ValueError) as problem:
            raise wrong(path, "output", f"a tensor that does not hold together ({problem})") from problem
    return found


def read_json(path: Path, kind: str, shape: type) -> Any:
    """The content of a JSON file of trtexec's, whose outermost value is a ``shape``.

    Raises:
        RuntimeProblem: it is missing or something else.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        if kind == "output":  # whose values are written as C++ writes them
            text = re.sub(r"(?<=[\s,\[])(-?)(inf|nan)\b", _named, text)
        content = json.loads(text)
    except OSError as problem:
        raise RuntimeProblem(f"cannot read {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise wrong(path, kind, "not JSON; was trtexec stopped while it wrote?") from problem
    if not isinstance(content, shape):
        raise wrong(path, kind, f"a JSON {type(content).__name__}")
    return content


def wrong(path: Path, kind: str, found: str) -> RuntimeProblem:
    """The error for a file that holds something else."""
    return RuntimeProblem(f"{path.name} does not hold trtexec's {kind}: {found}")


def _named(match: re.Match[str]) -> str:
    return match.group(1) + ("Infinity" if match.group(2) == "inf" else "NaN")
