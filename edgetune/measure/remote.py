"""Engines measured on another device: the same protocol, run there, and its outputs held against this machine's."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime.external_data import external_names
from edgetune_runtime.fresh import FreshStart
from edgetune_runtime.session import open_session
from numpy.typing import NDArray

from edgetune.devices.protocol import Device
from edgetune.measure.engines import EngineFile
from edgetune.measure.latency import RawLatency
from edgetune.measure.scenarios import Scenario
from edgetune.progress import Tick
from edgetune.records import BenchSpec

PATIENCE_SECONDS = 600.0  # for loading, fresh processes and a slow device, besides the timing itself

Feed = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a measurement gave; ``raw`` is None where the clock is not a device's (emulation)."""

    raw: Mapping[str, RawLatency] | None
    fresh: Mapping[str, list[FreshStart]]
    cpu_share: float | None
    device: Mapping[str, Any]
    telemetry: Mapping[str, Any]  # as ``edgetune_runtime.watch.watched`` tells it
    outputs: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # agreement with this machine
    versions: Mapping[str, str] = field(default_factory=dict)  # of the device's libraries
    energy: Mapping[str, Sequence[float]] | None = None  # joules of an inference, turn by turn; None: not readable
    operators: Mapping[str, Any] = field(default_factory=dict)  # by engine, as ``agent.operators_of`` tells them


def measured_there(
    device: Device,
    engines: Sequence[EngineFile],
    feeds: Mapping[str, Feed],
    spec: BenchSpec,
    scenario: Scenario,
    seed: int,
    progress: Tick,
    samples: Sequence[NDArray[np.generic]] = (),
    profiled: bool = False,
) -> Found:
    """Run the protocol of ``measure_loads`` on ``device``.

    Args:
        samples: inputs of different sizes for the timed runs, where ``feeds`` are not all that engines get.
        profiled: afterwards, ask the library what each operator took.

    Raises:
        DeviceError: the device cannot do it. BackendError: an engine does not run there.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-bench-") as folder:
        files: dict[str, Path] = {}
        described = []
        if samples:
            files["samples.npz"] = Path(folder) / "samples.npz"
            np.savez(files["samples.npz"], **{f"s{i}": array for i, array in enumerate(samples)})  # type: ignore[arg-type]
        for number, engine in enumerate(engines):
            inputs = Path(folder) / f"{number}.npz"
            feed = feeds[engine.name]
            np.savez(inputs, **{f"i{i}": array for i, array in enumerate(feed.values())})  # type: ignore[arg-type]
            files |= {f"{number}/inputs.npz": inputs, **engine_files(engine, f"{number}/engine")}
            described.append(
                {
                    "name": engine.name,
                    "file": f"{number}/engine/{_name(engine)}",
                    "bundle": f"{number}/engine" if engine.folder else None,
                    "session": dict(engine.session),
                    "threads": spec.threads,
                    "inputs": f"{number}/inputs.npz",
                    "names": list(feed),
                    **({"samples": "samples.npz"} if samples else {}),
                }
            )
        job = {
            "kind": "bench",
            "engines": described,
            "spec": asdict(spec),
            "scenario": asdict(scenario),
            "seed": seed,
            "profile": profiled,
            **({"backend": "tensorrt"} if any(_tied(one) for one in engines) else {}),
        }
        limit = PATIENCE_SECONDS + 3 * spec.max_seconds * len(engines)
        answer = device.do(job, files, limit_seconds=limit, progress=progress)
    raw, there = answer["raw"], answer["outputs"]
    return Found(
        raw=None if raw is None else {name: RawLatency(**one) for name, one in raw.items()},
        fresh={name: [FreshStart(**one) for one in starts] for name, starts in answer["fresh"].items()},
        cpu_share=answer["cpu_share"],
        device={**answer["device"], "name": device.name},
        telemetry=answer["telemetry"],
        outputs={
            one.name: agreement(one, feeds[one.name], there[one.name], spec.threads)
            for one in engines
            if not _tied(one)
        },
        versions=answer["versions"],
        operators=answer.get("operators", {}),
    )


def engine_files(engine: EngineFile, under: str) -> dict[str, Path]:
    """{name on the device: file here} of an engine: a bundle's folder, or an ONNX file with its external data."""
    if engine.folder is not None:
        return folder_files(engine.folder, under)
    names = [engine.file.name, *sorted(external_names(engine.file))]
    return {f"{under}/{name}": engine.file.parent / name for name in names}


def folder_files(folder: Path, under: str) -> dict[str, Path]:
    """{name on the device: file here} of all files in a folder."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {f"{under}/{name}": path for name, path in found.items()}


def decoded(array: Mapping[str, Any]) -> NDArray[np.generic]:
    """An array as ``edgetune_runtime.agent`` sends it."""
    values: NDArray[np.generic] = np.frombuffer(base64.b64decode(array["bytes"]), dtype=np.dtype(array["dtype"]))
    return values.reshape(array["shape"])


def agreement(engine: EngineFile, feed: Feed, there: list[Mapping[str, Any]], threads: int) -> dict[str, Any]:
    """How far the device's outputs of one inference are from this machine's: ``bit_equal`` and the largest difference.

    ``max_difference`` is None where shapes differ or something is no number; ``max_magnitude`` is the largest output
    here, looked at only where bits differ.
    """
    session = open_session(engine.file, dict(engine.session), threads)
    here = [np.asarray(array) for array in session.run(None, dict(feed))]
    theirs = [decoded(array) for array in there]
    pairs = list(zip(here, theirs, strict=True))
    equal = all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)
    difference, magnitude = 0.0, 0.0
    for a, b in pairs:
        if equal or not np.issubdtype(a.dtype, np.number) or not a.size:
            continue
        wide, other = a.astype(np.float64), b.astype(np.float64)
        far = float(np.abs(wide - other).max()) if a.shape == b.shape else np.inf
        difference = float(np.maximum(difference, far))  # NaN stays, unlike in Python's max
        magnitude = float(np.maximum(magnitude, np.abs(wide).max()))
    return {
        "bit_equal": equal,
        "max_difference": difference if np.isfinite(difference) else None,
        "max_magnitude": magnitude if np.isfinite(magnitude) else None,
    }


def _tied(engine: EngineFile) -> bool:
    """Whether it runs on its own device only, and so cannot be held against this machine."""
    return engine.session.get("backend") == "tensorrt"


def _name(engine: EngineFile) -> str:
    return engine.file.relative_to(engine.folder).as_posix() if engine.folder else engine.file.name
