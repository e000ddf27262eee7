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
from edgetune_runtime.errors import MeasureError
from edgetune_runtime.fresh import FreshStart, fresh_start
from edgetune_runtime.session import DEFAULT
from edgetune_runtime.watch import watched

from edgetune import __version__
from edgetune.devices import local
from edgetune.devices.protocol import Device
from edgetune.errors import InputError
from edgetune.measure.candidates import latency_summary
from edgetune.measure.energy import energy_of
from edgetune.measure.engines import EngineFile, find_engines, loaded
from edgetune.measure.inputs import make_inputs, shown, unknown_shapes
from edgetune.measure.latency import LOADS, Opener, RawLatency, measure_loads
from edgetune.measure.noise import judge
from edgetune.measure.remote import Feed, Found, measured_there
from edgetune.measure.scenarios import FIXED_RATE, OFFLINE, Scenario
from edgetune.measure.statistics import speedup_over_loads
from edgetune.progress import Tick, silent
from edgetune.records import BenchSpec

SCHEMA = "edgetune.bench/1"
FRESH_STARTS = 3


def bench(
    paths: Sequence[Path],
    *,
    spec: BenchSpec,
    scenario: Scenario,
    shapes: Mapping[str, tuple[int, ...]],
    batch: int | None,
    seed: int,
    progress: Tick = silent,
    device: Device | None = None,
    backends: Sequence[str] = (DEFAULT,),
) -> dict[str, Any]:
    """Measure the engines at ``paths`` against the first; returns plain data with every raw value.

    Args:
        device: where they run; None: here. There, outputs are compared with this machine's; on an emulated
            device nothing is timed.
        backends: the libraries each ONNX file is measured in; a bundle has one of its own.

    Raises:
        InputError: a path, shape or batch that cannot be; names it. DeviceError, BackendError: the device's.
    """
    with find_engines(paths, threads=spec.threads, self_test=device is None, backends=backends) as engines:
        feeds = make_feeds(engines, shapes, batch, seed)
        if device is None:
            found = _measured_here(engines, feeds, spec, scenario, seed, progress)
        else:
            found = measured_there(device, engines, feeds, spec, scenario, seed, progress)
        return _told(engines, feeds, found, spec, scenario, seed)


def _measured_here(
    engines: Sequence[EngineFile],
    feeds: Mapping[str, Feed],
    spec: BenchSpec,
    scenario: Scenario,
    seed: int,
    progress: Tick,
) -> Found:
    fresh = _fresh_starts(engines, feeds, spec.threads)
    openers: dict[str, Opener] = {one.name: partial(loaded, one, feeds[one.name], spec.threads) for one in engines}
    with watched() as state:
        raw, cpu_share = measure(openers, spec, scenario, seed, progress)
    energy = energy_of(openers, seed=seed, progress=progress)
    return Found(raw=raw, fresh=fresh, cpu_share=cpu_share, device=local.describe(), energy=energy, telemetry=state)


def _told(
    engines: Sequence[EngineFile],
    feeds: Mapping[str, Feed],
    found: Found,
    spec: BenchSpec,
    scenario: Scenario,
    seed: int,
) -> dict[str, Any]:
    share = found.cpu_share if spec.threads == 1 and scenario.kind != FIXED_RATE else None
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "scenario": asdict(scenario),
        "seed": seed,
        "bench": asdict(spec) | {"loads": LOADS},
        "engines": [
            _described(one, feeds[one.name], found, scenario)
            | {"speedup": None if one is engines[0] or not found.raw else _faster(engines[0], one, found, scenario)}
            for one in engines
        ],
        "noise": judge(found.raw, found.telemetry, share, queued=scenario.kind == FIXED_RATE) if found.raw else None,
        "device": found.device,
        "telemetry": found.telemetry,
        "cpu_share": found.cpu_share,
        "raw": {name: asdict(one) for name, one in found.raw.items()} if found.raw else None,
        **({"device_versions": found.versions} if found.versions else {}),
    }


def _faster(baseline: EngineFile, candidate: EngineFile, found: Found, scenario: Scenario) -> dict[str, Any]:
    assert found.raw is not None
    return speedup(found.raw[baseline.name], found.raw[candidate.name], scenario)


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
                raise InputError(f"{engine.shown} cannot be run: {error}") from error
            found[engine.name].append(start)
    return found


def _described(engine: EngineFile, feed: Feed, found: Found, scenario: Scenario) -> dict[str, Any]:
    batch, fresh = _batch(feed), found.fresh.get(engine.name, [])
    timed: dict[str, Any] = {"latency_ms": None, "samples_per_second": None, "utilisation": None, "warmups": 0}
    if found.raw is not None:
        raw = found.raw[engine.name]
        rate = batch * len(raw.values) / (sum(raw.values) / 1e3)
        timed = {
            "latency_ms": latency_summary(raw.values),
            "samples_per_second": None if scenario.kind == FIXED_RATE else rate,
            "utilisation": _utilisation(raw, scenario),
            "warmups": raw.warmups,
        }
    return {
        "name": engine.name,
        "file": engine.shown,
        "backend": engine.session.get("backend", DEFAULT),
        "sha256": engine.sha256,
        "size_bytes": engine.size_bytes,
        "inputs": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in feed.items()},
        "batch": batch,
        **timed,
        "load_ms": [start.load_ms for start in fresh],
        "first_inference_ms": [start.first_ms for start in fresh],
        "peak_rss_bytes": [start.peak_rss_bytes for start in fresh],
        "joules_per_inference": list(found.energy[engine.name]) if found.energy is not None else None,
        **({"outputs": found.outputs[engine.name]} if engine.name in found.outputs else {}),
    }


def _batch(feed: Feed) -> int:
    """Samples of one inference: the first dimension of the first input."""
    shape = next(iter(feed.values())).shape if feed else ()
    return int(shape[0]) if shape else 1


def _utilisation(raw: RawLatency, scenario: Scenario) -> float | None:
    """Share of the time a fixed rate keeps the engine busy; from 1 on it cannot keep up."""
    if scenario.rate is None:
        return None
    return float(np.median(raw.warmup_values)) / 1e3 * float(scenario.rate)
