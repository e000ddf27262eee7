"""Does the measurement tell the truth on this machine? One engine against itself, and against a little more work.

An A/A test: equal engines must be found equal (the 95 % interval of their ratio holds 1), about 19 times
in 20. And its counterpart: the same engine made 3 % slower must be found slower.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from edgetune_runtime.watch import watched
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgetune import __version__
from edgetune.devices import local
from edgetune.errors import InputError
from edgetune.measure.bench import make_feeds, measure
from edgetune.measure.engines import EngineFile, find_engines, loaded
from edgetune.measure.latency import LOADS, Opener, RawLatency
from edgetune.measure.noise import judge
from edgetune.measure.scenarios import Scenario
from edgetune.measure.statistics import Speedup, speedup_over_loads
from edgetune.progress import Tick, silent
from edgetune.records import BenchSpec

SCHEMA = "edgetune.self-check/1"
SLOWDOWN = 0.03
PASSING = 0.9  # of the repeats: 18 of 20; a true 95 % interval fails that once in thirteen checks
CALIBRATION = BenchSpec(min_runs=200, min_seconds=0.5, max_seconds=20)
MOST_NUMBERS = 1 << 26

Feed = Mapping[str, NDArray[np.generic]]


def self_check(
    path: Path,
    *,
    repeats: int,
    spec: BenchSpec,
    shapes: Mapping[str, tuple[int, ...]],
    batch: int | None,
    seed: int,
    progress: Tick = silent,
) -> dict[str, Any]:
    """Measure the engine at ``path``, itself and a 3 % slower copy ``repeats`` times; plain data, raw values too.

    Raises:
        InputError: a file or shape that cannot be, or a graph that no work can be appended to.
    """
    with find_engines([path], threads=spec.threads) as (engine,), tempfile.TemporaryDirectory() as folder:
        feed = make_feeds([engine], shapes, batch, seed)[engine.name]
        slower, expected = slower_copy(engine, feed, Path(folder), threads=spec.threads, seed=seed)
        files = {"engine": engine, "again": engine, "slower": slower}
        openers: dict[str, Opener] = {name: partial(loaded, one, feed, spec.threads) for name, one in files.items()}
        rows = []
        for repeat in range(repeats):
            rows.append(_repeat(openers, spec, seed + 1000 * repeat))
            progress(repeat + 1, repeats, "repeats")
    same = sum(row["same"]["ci95"][0] <= 1 <= row["same"]["ci95"][1] for row in rows)
    found = sum(row["slower"]["ci95"][1] < 1 for row in rows)
    needed = math.ceil(PASSING * repeats)
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "engine": {"name": engine.name, "file": engine.shown, "sha256": engine.sha256},
        "bench": asdict(spec) | {"loads": LOADS},
        "seed": seed,
        "slowdown": {"wanted": SLOWDOWN, "calibrated": expected},
        "repeats": repeats,
        "needed": needed,
        "held_one": same,
        "found_slower": found,
        "passed": same >= needed and found >= needed,
        "device": local.describe(),
        "rows": rows,
    }


def _repeat(openers: Mapping[str, Opener], spec: BenchSpec, seed: int) -> dict[str, Any]:
    with watched() as state:
        raw, cpu_share = measure(openers, spec, Scenario(), seed)
    return {
        "same": _ratio(raw, "again"),
        "slower": _ratio(raw, "slower"),
        "noise": judge(raw, state, cpu_share if spec.threads == 1 else None, queued=False),
        "cpu_share": cpu_share,
        "raw": {name: asdict(one) for name, one in raw.items()},
    }


def _ratio(raw: Mapping[str, RawLatency], name: str) -> Speedup:
    one = raw["engine"]
    return speedup_over_loads(
        one.values, raw[name].values, runs_per_round=one.runs_per_round, runs_by_load=one.runs_by_load
    )


# --- a copy that is slower by a known share -------------------------------------------------


def slower_copy(engine: EngineFile, feed: Feed, folder: Path, *, threads: int, seed: int) -> tuple[EngineFile, float]:
    """(a copy of ``engine`` with work appended that makes it 3 % slower, the share by calibration).

    The work draws n random numbers and adds them up, beside the network: ONNX Runtime must not fold
    random nodes into constants, and the time is linear in n, so that n can be read off a line through
    two large amounts. An engine so fast that one node costs more than 3 % gets that one node.

    Raises:
        InputError: the file cannot be edited.
    """

    def measured(counts: list[int]) -> list[float]:
        copies = {f"n{n}": append_work(engine, n, folder / f"{n}.onnx") for n in counts}
        openers: dict[str, Opener] = {
            name: partial(loaded, one, feed, threads) for name, one in {"engine": engine, **copies}.items()
        }
        raw, _ = measure(openers, CALIBRATION, Scenario(), seed)
        return [1 / _ratio(raw, name)["value"] - 1 for name in copies]

    large = 4096
    while (share := measured([large])[0]) < 0.5 and large < MOST_NUMBERS:
        large = min(MOST_NUMBERS, large * max(2, min(64, math.ceil(1 / max(share, 0.01)))))
    least, most = measured([1, large])
    slope = (most - least) / (large - 1)
    n = max(1, 1 + round((SLOWDOWN - least) / slope))
    return append_work(engine, n, folder / "slower.onnx"), least + slope * (n - 1)


def append_work(engine: EngineFile, n: int, destination: Path) -> EngineFile:
    """Write a copy of the engine that also draws ``n`` random numbers and gives their sum.

    Raises:
        InputError: onnx cannot read the file.
    """
    try:
        model = onnx.load(engine.file)
    except Exception as problem:  # protobuf's errors share no base of their own
        raise InputError(f"{engine.shown} cannot be edited: {' '.join(str(problem).split())}") from problem
    numbers, total = "edgetune_extra_numbers", "edgetune_extra_sum"
    model.graph.node.extend(
        [
            helper.make_node("RandomUniform", [], [numbers], shape=[n], dtype=TensorProto.FLOAT, seed=0.0),
            helper.make_node("ReduceSum", [numbers], [total], keepdims=0),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(total, TensorProto.FLOAT, []))
    onnx.save(model, destination)
    return replace(engine, file=destination)
