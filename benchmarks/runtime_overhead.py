"""What `Engine.predict` adds to a bare `InferenceSession.run` of the same engine, interleaved.

    python benchmarks/runtime_overhead.py RUN_DIR/bundles/x86-cpu [more bundles]

Claim: on an array, the ratio of the medians is at most 1.05; preprocessing of an image is timed apart.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from common import save
from edgetune_runtime import Engine

from edgetune.measure.latency import measure_interleaved
from edgetune.measure.statistics import paired_speedup


def measure(folder: Path) -> dict[str, Any]:
    """Raw times of one bundle's engine, bare and through the runtime, in milliseconds."""
    engine = Engine.open(folder, threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for key, value in engine.manifest["session"].get("config", {}).items():
        options.add_session_config_entry(key, value)
    path = folder / engine.manifest["engine"]["file"]
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shape = [1, *engine.manifest["inputs"][0]["shape"][1:]]
    sample = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    raw = measure_interleaved(
        {
            "session.run": lambda: session.run(None, {name: sample}),
            "predict": lambda: engine.predict(sample),
            "preprocess": lambda: engine.preprocessing(picture),
        },
        min_runs=1000,
        min_seconds=2.0,
        max_seconds=60.0,
        seed=0,
    )
    ratio = paired_speedup(
        raw["predict"].values, raw["session.run"].values, 0, runs_per_round=raw["predict"].runs_per_round
    )
    medians = {key: statistics.median(value.values) for key, value in raw.items()}
    print(f"{folder}: predict / session.run = {ratio['value']:.3f} {ratio['ci95']}")
    print(f"  preprocessing a 320 x 240 picture takes {medians['preprocess'] / medians['session.run']:.2f} of a run")
    return {
        "bundle": folder.name,
        "engine": engine.manifest["engine"],
        "ratio": ratio,
        "preprocess_share": medians["preprocess"] / medians["session.run"],
        "raw_ms": {key: value.values for key, value in raw.items()},
    }


if __name__ == "__main__":
    save("runtime_overhead", {"bundles": [measure(Path(folder)) for folder in sys.argv[1:]]})
