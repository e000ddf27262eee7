"""Latency of all engines of a target, interleaved in one session, and memory of each in a fresh process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from edgetune_runtime import Engine

from edgetune.devices import local
from edgetune.hashing import canonical_json
from edgetune.measure.latency import Call, measure_loads
from edgetune.measure.memory import peak_rss_bytes
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``latency.json``: raw values (ms) by candidate, peak memory, and the machine before and after."""
    params = context.params
    folders = {role: path / "engine" for role, path in context.inputs.items()}
    openers = {
        name: partial(_one_inference, folder, params["threads"], context.seed) for name, folder in folders.items()
    }
    before = local.telemetry()
    raw = measure_loads(
        openers,
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


@contextmanager
def _one_inference(folder: Path, threads: int, seed: int) -> Iterator[Call]:
    # Digests and the self-test belong to installing a bundle; the evaluation has just run these files.
    with Engine.open(folder, verify=False, self_test=False, threads=threads) as engine:
        shape = [1 if isinstance(size, str) else size for size in engine.manifest["inputs"][0]["shape"]]
        sample = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        yield lambda: engine.run(sample)
