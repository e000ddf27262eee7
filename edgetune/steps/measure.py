"""Latency of all engines of a target, interleaved in one session, and memory of each in a fresh process."""

from contextlib import ExitStack
from dataclasses import asdict

import numpy as np
from edgetune_runtime import Engine

from edgetune.devices import local
from edgetune.hashing import canonical_json
from edgetune.measure.latency import measure_interleaved
from edgetune.measure.memory import peak_rss_bytes
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``latency.json``: raw values (ms) by candidate, peak memory, and the machine before and after."""
    params = context.params
    folders = {role: path / "engine" for role, path in context.inputs.items()}
    with ExitStack() as stack:
        engines = {
            name: stack.enter_context(Engine.open(folder, threads=params["threads"]))
            for name, folder in folders.items()
        }
        calls = {name: _one_inference(engine, context.seed) for name, engine in engines.items()}
        before = local.telemetry()
        raw = measure_interleaved(
            calls,
            min_runs=params["min_runs"],
            min_seconds=params["min_seconds"],
            max_seconds=params["max_seconds"],
            seed=context.seed,
            progress=context.tick,
        )
        after = local.telemetry()
    content = {
        "unit": "ms",
        "batch": 1,
        "threads": params["threads"],
        "engines": {name: asdict(values) for name, values in raw.items()},
        "peak_rss_bytes": {name: peak_rss_bytes(folder, params["threads"]) for name, folder in folders.items()},
        "device": local.describe(),
        "telemetry": {"before": before, "after": after},
    }
    (context.out / "latency.json").write_text(canonical_json(content), encoding="utf-8")


def _one_inference(engine: Engine, seed: int):  # type: ignore[no-untyped-def]
    shape = [1 if isinstance(size, str) else size for size in engine.manifest["inputs"][0]["shape"]]
    sample = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return lambda: engine.run(sample)
