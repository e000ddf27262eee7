"""What `edgetune::Engine::predict` adds to a bare `OrtApi::Run` of the same engine, interleaved, in C++.

    python benchmarks/runtime_overhead_cpp.py RUN_DIR/bundles/x86-cpu [more bundles]

Claim: the ratio of the medians is at most 1.01. The bare run has its tensors made beforehand; preprocessing of an image
is timed apart, and in Python beside it.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from common import save
from edgetune_runtime import Preprocessing

from edgetune.measure.latency import time_ms
from edgetune.measure.statistics import speedup_over_loads

ROOT = Path(__file__).parents[1]
LOADS, ROUNDS, RUNS = 10, 60, 5
GOAL = 1.01


def compile_program(folder: Path) -> Path:
    """The program beside this file, with the library's own flags."""
    build, program = folder / "build", folder / "runtime_overhead_cpp"
    source = ROOT / "benchmarks/runtime_overhead_cpp.cpp"
    includes = [f"-I{ROOT}/runtime/cpp/{name}" for name in ("include", "src")]
    for command in (
        ["cmake", "-S", ROOT / "runtime/cpp", "-B", build, "-DEDGETUNE_BUILD_RUNNER=OFF"],
        ["cmake", "--build", build],
        ["c++", "-std=c++17", "-O3", *includes, source, build / "libedgetune.a", "-ldl", "-o", program],
    ):
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return program


def measure(program: Path, bundle: Path) -> dict[str, Any]:
    """Raw times of one bundle's engine, bare and through the runtime, in milliseconds."""
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
    command = [program, bundle, *map(str, (LOADS, ROUNDS, RUNS))]
    environment = {**os.environ, "EDGETUNE_ONNXRUNTIME": str(library)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    raw = json.loads(done.stdout)
    ratio = speedup_over_loads(raw["predict"], raw["run"], runs_per_round=RUNS, runs_by_load=[ROUNDS * RUNS] * LOADS)
    medians = {key: statistics.median(raw[key]) for key in ("run", "predict", "preprocess")}
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    steps = Preprocessing(manifest["preprocessing"])
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    python = statistics.median(time_ms(lambda: steps(picture)) for _ in range(200))
    print(f"{bundle}: predict / run = {ratio['value']:.4f} {ratio['ci95']}, run {medians['run']:.4f} ms")
    print(f"  preprocessing a 320 x 240 picture: {medians['preprocess']:.3f} ms, in Python {python:.3f} ms")
    return {
        "engine": manifest["engine"],
        "input": manifest["inputs"][0]["shape"],
        "onnxruntime": raw.pop("onnxruntime"),
        "ratio": ratio,
        "within_goal": ratio["value"] <= GOAL,
        "median_ms": medians | {"preprocess_python": python},
        "raw_ms": raw,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = compile_program(Path(folder))
        bundles = [measure(made, Path(bundle)) for bundle in sys.argv[1:]]
    save("runtime_overhead_cpp", {"loads": LOADS, "rounds": ROUNDS, "runs": RUNS, "goal": GOAL, "bundles": bundles})
