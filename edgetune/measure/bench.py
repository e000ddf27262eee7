"""Compare any engines: what ``edgetune bench`` does."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetune import __version__
from edgetune.devices import local
from edgetune.errors import InputError, MeasureError
from edgetune.measure.candidates import latency_summary
from edgetune.measure.engines import EngineFile, find_engines, loaded
from edgetune.measure.fresh import FreshStart, fresh_start
from edgetune.measure.inputs import make_inputs, shown, unknown_shapes
from edgetune.measure.latency import LOADS, Opener, RawLatency, measure_loads
from edgetune.measure.noise import judge
from edgetune.measure.scenarios import FIXED_RATE, OFFLINE, Scenario
from edgetune.measure.statistics import speedup_over_loads
from edgetune.progress import Tick, silent
from edgetune.records import BenchSpec

SCHEMA = "edgetune.bench/1"
FRESH_STARTS = 3

Feed = Mapping[str, NDArray[np.generic]]


def bench(
    paths: Sequence[Path],
    *,
    spec: BenchSpec,
    scenario: Scenario,
    shapes: Mapping[str, tuple[int, ...]],
    batch: int | None,
    seed: int,
    progress: Tick = silent,
) -> dict[str, Any]:
    """Measure the engines at ``paths`` against the first; returns plain data with every raw value.

    Raises:
        InputError: a path, shape or batch that cannot be; names it.
    """
    with find_engines(paths, threads=spec.threads) as engines:
        feeds = make_feeds(engines, shapes, batch, seed)
        fresh = _fresh_starts(engines, feeds, spec.threads)
        openers: dict[str, Opener] = {one.name: partial(loaded, one, feeds[one.name], spec.threads) for one in engines}
        before = local.telemetry()
        raw, cpu_share = measure(openers, spec, scenario, seed, progress)
        after = local.telemetry()
    telemetry = {"before": before, "after": after}
    share = cpu_share if spec.threads == 1 and scenario.kind != FIXED_RATE else None
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "scenario": asdict(scenario),
        "seed": seed,
        "bench": asdict(spec) | {"loads": LOADS},
        "engines": [
            _described(one, feeds[one.name], fresh[one.name], raw[one.name], scenario)
            | {"speedup": None if one is engines[0] else speedup(raw[engines[0].name], raw[one.name], scenario)}
            for one in engines
        ],
        "noise": judge(raw, telemetry, share, queued=scenario.kind == FIXED_RATE),
        "device": local.describe(),
        "telemetry": telemetry,
        "cpu_share": cpu_share,
        "raw": {name: asdict(one) for name, one in raw.items()},
    }


def measure(
    openers: Mapping[str, Opener], spec: BenchSpec, scenario: Scenario, seed: int, progress: Tick = silent
) -> tuple[dict[str, RawLatency], float]:
    """Raw latencies, and the share of the wall time that the process had a processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    raw = measure_loads(
        openers,
        min_runs=spec.min_runs,
        min_seconds=spec.min_seconds,
        max_seconds=spec.max_seconds,
        seed=seed,
        turn=scenario.turn,
        runs_per_turn=scenario.runs_per_turn,
        progress=progress,
    )
    return raw, (time.process_time() - cpu) / (time.perf_counter() - wall)


def speedup(baseline: RawLatency, candidate: RawLatency, scenario: Scenario) -> dict[str, Any]:
    """How many times faster the candidate is; by throughput when offline."""
    found = speedup_over_loads(
        baseline.values,
        candidate.values,
        runs_per_round=baseline.runs_per_round,
        runs_by_load=baseline.runs_by_load,
        center="total" if scenario.kind == OFFLINE else "median",
    )
    return dict(found)


def make_feeds(
    engines: Sequence[EngineFile], shapes: Mapping[str, tuple[int, ...]], batch: int | None, seed: int
) -> dict[str, Feed]:
    """Inputs for every engine, by its name.

    Raises:
        InputError: what ``make_inputs`` raises, with the engine's file; a shape that no engine has.
    """
    declared = [one for engine in engines for one in engine.inputs]
    if unknown := unknown_shapes(shapes, declared):
        have = ", ".join(dict.fromkeys(f"{one.name} {shown(one.shape)}" for one in declared))
        raise InputError(f'--shape names "{unknown[0]}", which no engine has', hint=f"inputs are: {have}")
    feeds: dict[str, Feed] = {}
    for engine in engines:
        try:
            feeds[engine.name] = make_inputs(engine.inputs, shapes=shapes, batch=batch, seed=seed)
        except InputError as error:
            raise InputError(f"{engine.shown}: {error.message}", hint=error.hint) from error
    return feeds


def _fresh_starts(
    engines: Sequence[EngineFile], feeds: Mapping[str, Feed], threads: int
) -> dict[str, list[FreshStart]]:
    """Also the trial that keeps a file that kills its process from killing this one."""
    found: dict[str, list[FreshStart]] = {engine.name: [] for engine in engines}
    for _ in range(FRESH_STARTS):
        for engine in engines:
            try:
                start = fresh_start(engine.file, engine.session, feeds[engine.name], threads=threads)
            except MeasureError as error:
                raise InputError(f"{engine.shown} cannot be run: {error.message}") from error
            found[engine.name].append(start)
    return found


def _described(
    engine: EngineFile, feed: Feed, fresh: list[FreshStart], raw: RawLatency, scenario: Scenario
) -> dict[str, Any]:
    seconds, batch = sum(raw.values) / 1e3, _batch(feed)
    return {
        "name": engine.name,
        "file": engine.shown,
        "sha256": engine.sha256,
        "size_bytes": engine.size_bytes,
        "inputs": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in feed.items()},
        "batch": batch,
        "latency_ms": latency_summary(raw.values),
        "samples_per_second": None if scenario.kind == FIXED_RATE else batch * len(raw.values) / seconds,
        "utilisation": _utilisation(raw, scenario),
        "warmups": raw.warmups,
        "load_ms": [start.load_ms for start in fresh],
        "first_inference_ms": [start.first_ms for start in fresh],
        "peak_rss_bytes": [start.peak_rss_bytes for start in fresh],
    }


def _batch(feed: Feed) -> int:
    """Samples of one inference: the first dimension of the first input."""
    shape = next(iter(feed.values())).shape if feed else ()
    return int(shape[0]) if shape else 1


def _utilisation(raw: RawLatency, scenario: Scenario) -> float | None:
    """Share of the time a fixed rate keeps the engine busy; from 1 on it cannot keep up."""
    if scenario.rate is None:
        return None
    return float(np.median(raw.warmup_values)) / 1e3 * scenario.rate
