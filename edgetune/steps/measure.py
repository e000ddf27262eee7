"""Latency of all engines of a target, interleaved in one session, and memory of each in a fresh process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime import Engine
from edgetune_runtime.agent import operators_of
from edgetune_runtime.latency import VariedCall, middle
from edgetune_runtime.watch import watched
from numpy.typing import NDArray

from edgetune.devices import local
from edgetune.devices.protocol import Device
from edgetune.errors import MeasureError
from edgetune.hashing import canonical_json
from edgetune.measure.bench import make_feeds
from edgetune.measure.energy import energy_of
from edgetune.measure.engine_layers import named_layers
from edgetune.measure.engines import EngineFile, bundle_engine
from edgetune.measure.latency import Call, measure_loads
from edgetune.measure.memory import peak_rss_bytes
from edgetune.measure.remote import measured_there
from edgetune.measure.scenarios import Scenario
from edgetune.records import BenchSpec
from edgetune.steps.context import StepContext
from edgetune.steps.tensorrt_times import by_trtexec, timed_by_trtexec
from edgetune.steps.texts import load_texts

LAYERS = "layers.json"  # among the notes
TEXTS = 64  # of different lengths, that latencies are taken over
Array = NDArray[Any]


def run(context: StepContext) -> None:
    """Write ``latency.json``: raw values (ms), energy and memory by candidate; the machine before, during and after."""
    params = context.params
    folders = {role: path / "engine" for role, path in context.inputs.items() if role not in ("dataset", "tokens")}
    if context.device is not None:
        how = timed_by_trtexec if by_trtexec(context.device, folders) else _there
        content = how(context.device, folders, context)
        (context.out / "latency.json").write_text(canonical_json(content), encoding="utf-8")
        return
    samples = _samples(context)
    openers = {name: partial(_opened, folder, params["threads"], samples) for name, folder in folders.items()}
    with watched() as state:
        raw = measure_loads(
            openers,
            min_runs=params["min_runs"],
            min_seconds=params["min_seconds"],
            max_seconds=params["max_seconds"],
            seed=context.seed,
            progress=context.tick,
        )
    content = {
        "unit": "ms",
        "batch": 1,
        "threads": params["threads"],
        "engines": {name: asdict(values) for name, values in raw.items()},
        "energy_joules": energy_of(openers, seed=context.seed, progress=context.tick),
        "peak_rss_bytes": {name: peak_rss_bytes(folder, params["threads"]) for name, folder in folders.items()},
        "device": local.describe(),
        "telemetry": state,
    }
    (context.out / "latency.json").write_text(canonical_json(content), encoding="utf-8")
    engines = [bundle_engine(name, folder) for name, folder in folders.items()]
    feeds = _feeds(engines, samples) if samples else make_feeds(engines, {}, None, context.seed)
    opened = {engine.name: {"file": engine.file, "session": dict(engine.session)} for engine in engines}
    _note_layers(operators_of(opened, feeds, params["threads"]), folders, context)


def _note_layers(told: Mapping[str, Any], folders: Mapping[str, Path], context: StepContext) -> None:
    """What each operator of each engine takes: a note, since only how they share the time is meant."""
    found = dict(told)
    for name, one in told.items():
        if "operators" in one:
            engine = bundle_engine(name, folders[name])
            found[name] = {"operators": named_layers(one["operators"], engine.file)}
    context.note(LAYERS).write_text(canonical_json(found), encoding="utf-8")


def _there(device: Device, folders: dict[str, Path], context: StepContext) -> dict[str, Any]:
    """The same on the device; sessions are called directly there, which leaves out some microseconds of the runtime."""
    params = context.params
    engines = [bundle_engine(name, folder) for name, folder in folders.items()]
    texts = _samples(context) or []
    feeds = _feeds(engines, texts) if texts else make_feeds(engines, {}, None, context.seed)
    spec, seed = BenchSpec(**params), context.seed
    found = measured_there(device, engines, feeds, spec, Scenario(), seed, context.tick, texts, profiled=True)
    if found.raw is None:
        raise MeasureError(f"{device.name} is emulated: nothing is timed there")
    _note_layers(found.operators, folders, context)
    return {
        "unit": "ms",
        "batch": 1,
        "threads": params["threads"],
        "engines": {name: asdict(values) for name, values in found.raw.items()},
        "peak_rss_bytes": {name: max(start.peak_rss_bytes for start in found.fresh[name]) for name in folders},
        "device": {**found.device, "versions": dict(found.versions)},
        "telemetry": dict(found.telemetry),
        "outputs": dict(found.outputs),
    }


def _feeds(engines: Sequence[EngineFile], texts: Sequence[Array]) -> dict[str, dict[str, Array]]:
    """The text of middle length for each engine: what its outputs are compared on, and fresh processes run."""
    return {engine.name: {engine.inputs[0].name: texts[middle(texts)]} for engine in engines}


@contextmanager
def _opened(folder: Path, threads: int, samples: Sequence[Array] | None) -> Iterator[Call]:
    # Digests and the self-test belong to installing a bundle; the evaluation has just run these files.
    with Engine.open(folder, verify=False, self_test=False, threads=threads) as engine:
        yield VariedCall(engine.run, samples or [engine.preprocessing.example()])


def _samples(context: StepContext) -> list[Array] | None:
    """Validation texts, each as long as it is; None: every sample is of the same size, and any will do."""
    if "tokens" not in context.inputs:
        return None
    texts = load_texts(context)
    numbers = np.random.default_rng(context.seed).permutation(texts.numbers("val"))[:TEXTS]
    return [texts.batch([int(number)])[0].numpy() for number in numbers]
