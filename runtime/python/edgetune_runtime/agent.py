"""One job of the desk's on this device: look at it, check or run a bundle, measure engines.

``python -m edgetune_runtime.agent JOB.json`` is started by ``supervisor``, which the desk sends ahead; paths in the
job are relative to its folder. Answers are lines on standard output: ``{"progress": [done, total, note]}``,
``{"part": ...}`` and at the end ``{"result": ...}`` or ``{"error": ..., "kind": ...}``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

from edgetune_runtime import machine
from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.supervisor import MARK, NO_SPACE

NEEDED = ("numpy", "onnxruntime")
LOCK = Path("/tmp/edgetune-device.lock")
FRESH_STARTS = 3
LONGEST_REASON = 200


def main(arguments: list[str]) -> int:
    """Do the job in the file ``arguments[0]``."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    os.chdir(Path(arguments[0]).parent)
    have = machine.versions()
    needed = NEEDED[:1] if job.get("backend") == "tensorrt" else NEEDED
    lacking = [name for name in needed if have[name] == "missing"]
    if job["kind"] != "look" and lacking:
        _say({"error": f"{sys.executable} has no {' and no '.join(lacking)}", "kind": "library"})
        return 1
    try:
        _say({"result": JOBS[job["kind"]](job)})
    except Exception as problem:  # noqa: BLE001 - the desk is told whatever it is; onnxruntime's share no base
        text = str(problem) if isinstance(problem, RuntimeProblem) else f"{type(problem).__name__}: {problem}"
        _say({"error": " ".join(text.split()), "kind": "space" if _lacks_space(problem) else "engine"})
        return 1
    return 0


def _lacks_space(problem: BaseException | None) -> bool:
    """Whether the disk was full, here or where this was raised from."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in NO_SPACE:
            return True
        problem = problem.__cause__
    return False


def look(_: dict[str, Any]) -> dict[str, Any]:
    """What this device is and how it is now; ``tensorrt`` is None where there is none."""
    found = {"device": machine.describe(), "versions": machine.versions(), "telemetry": machine.telemetry()}
    if found["versions"]["numpy"] == "missing":
        return found
    from edgetune_runtime import tensorrt_here

    return {**found, "tensorrt": tensorrt_here.describe()}


def check(job: dict[str, Any]) -> dict[str, Any]:
    """Open ``bundle``: digests, golden samples if it has them; a batch of one and one of two must give numbers."""
    import numpy as np

    from edgetune_runtime.engine import Engine

    with Engine.open(job["bundle"]) as engine:
        for size in (1, 2):
            if not np.isfinite(engine.run(engine.preprocessing.example(size))).all():
                raise RuntimeProblem("it gives NaN or infinity")
        return {"golden_difference": engine.self_test() if engine.manifest.get("golden") else None}


def logits(job: dict[str, Any]) -> dict[str, Any]:
    """Run ``bundle`` over ``pixels`` (.npy files of uint8 [N, H, W, 3]), ``inputs`` (preprocessed) or ``tokens``.

    ``tokens`` are .npz files of texts: ``ids`` of all, one after the other, and where each ``ends``; they are run one
    by one, unpadded. The logits come in parts, in order.
    """
    if "tokens" in job:
        return _logits_of_texts(job)
    import numpy as np

    from edgetune_runtime.engine import Engine

    raw = "pixels" in job
    arrays = [np.load(name, mmap_mode="r", allow_pickle=False) for name in job["pixels" if raw else "inputs"]]
    total, done = sum(len(array) for array in arrays), 0
    with Engine.open(job["bundle"]) as engine:
        for array in arrays:
            for start in range(0, len(array), job["batch"]):
                batch = np.ascontiguousarray(array[start : start + job["batch"]])
                _say({"part": _encoded(engine.run(engine.preprocessing.inputs(batch) if raw else batch))})
                done += len(batch)
                _tick(done, total, "samples")
    return {"samples": total}


def _logits_of_texts(job: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from edgetune_runtime.engine import Engine

    texts: list[Any] = []
    for name in job["tokens"]:
        with np.load(name, allow_pickle=False) as arrays:
            texts += np.split(arrays["ids"].astype(np.int64), arrays["ends"][:-1])
    with Engine.open(job["bundle"]) as engine:
        for start in range(0, len(texts), job["batch"]):
            found = [engine.run(ids[None]) for ids in texts[start : start + job["batch"]]]
            _say({"part": _encoded(np.concatenate(found))})
            _tick(min(start + job["batch"], len(texts)), len(texts), "samples")
    return {"samples": len(texts)}


def bench(job: dict[str, Any]) -> dict[str, Any]:
    """Outputs of every engine on its inputs, and unless this device is emulated the latencies, as on the desk."""
    with _alone():
        return _bench(job)


def _bench(job: dict[str, Any]) -> dict[str, Any]:
    engines = {one["name"]: one for one in job["engines"]}
    feeds = {name: _feed(one["inputs"], one["names"]) for name, one in engines.items()}
    result: dict[str, Any] = {"outputs": {}, "fresh": {name: [] for name in engines}}
    result |= {"device": machine.describe(), "versions": machine.versions()}
    for name, one in engines.items():
        with _refused(name):
            result["outputs"][name] = _outputs(one, feeds[name])
        _tick(len(result["outputs"]), len(engines), "engines run once")
    if machine.emulated():  # its clock says nothing of a device
        state = {"before": machine.telemetry(), "during": [], "after": machine.telemetry()}
        return {**result, "raw": None, "cpu_share": None, "telemetry": state}
    return {**result, **_timed(job, engines, feeds)}


def _timed(job: dict[str, Any], engines: dict[str, Any], feeds: dict[str, Any]) -> dict[str, Any]:
    from edgetune_runtime.fresh import fresh_start
    from edgetune_runtime.latency import measure_loads
    from edgetune_runtime.scenarios import Scenario
    from edgetune_runtime.watch import watched

    fresh: dict[str, list[Any]] = {name: [] for name in engines}
    for _ in range(FRESH_STARTS):
        for name, one in engines.items():
            with _refused(name):
                start = fresh_start(Path(one["file"]), one["session"], feeds[name], threads=job["spec"]["threads"])
            fresh[name].append(asdict(start))
    scenario, spec = Scenario(**job["scenario"]), job["spec"]
    openers = {name: partial(_loaded, one, feeds[name], spec["threads"]) for name, one in engines.items()}
    with watched() as state:
        wall, cpu = time.perf_counter(), time.process_time()
        raw = measure_loads(
            openers,
            min_runs=spec["min_runs"],
            min_seconds=spec["min_seconds"],
            max_seconds=spec["max_seconds"],
            seed=job["seed"],
            turn=scenario.turn,
            runs_per_turn=scenario.runs_per_turn,
            progress=_tick,
        )
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    told = {"operators": operators_of(engines, feeds, spec["threads"])} if job.get("profile") else {}
    raws = {n: asdict(r) for n, r in raw.items()}
    return {"fresh": fresh, "raw": raws, "cpu_share": share, "telemetry": state, **told}


def operators_of(engines: Mapping[str, Any], feeds: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """{engine: its ``operators`` (``profile.profile``), or the ``reason`` why they are not known}.

    Args:
        engines: {name: {"file", "session"}}.
    """
    from edgetune_runtime.profile import profile

    found: dict[str, Any] = {}
    for name, one in engines.items():
        try:
            found[name] = {"operators": profile(Path(one["file"]), one["session"], threads, feeds[name])}
        except Exception as problem:  # noqa: BLE001 - libraries' share no base; what was timed counts without it
            found[name] = {"reason": " ".join(str(problem).split())[:LONGEST_REASON]}
    return found


def layers(job: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of ``count`` tiny models, from ``models.npz`` (their bytes) and ``inputs.npz``."""
    import numpy as np

    from edgetune_runtime.layers import fastest_medians, open_model

    with _alone(), np.load("models.npz") as models, np.load("inputs.npz") as inputs:
        names = [f"arr_{number}" for number in range(job["count"])]
        calls = {name: open_model(models[name].tobytes(), job["session"], inputs[name]) for name in names}
        found = fastest_medians(calls, job["seed"], _tick)
    return {"ms": [found[name] for name in names]}


def tensorrt_build(job: dict[str, Any]) -> dict[str, Any]:
    """See ``tensorrt_jobs.build``."""
    from edgetune_runtime import tensorrt_jobs

    with _alone():
        return tensorrt_jobs.build(job, _say, _tick)


def tensorrt_times(job: dict[str, Any]) -> dict[str, Any]:
    """See ``tensorrt_jobs.times``."""
    from edgetune_runtime import tensorrt_jobs

    with _alone():
        return tensorrt_jobs.times(job, _tick)


JOBS = {
    "look": look, "check": check, "logits": logits, "bench": bench, "layers": layers,
    "tensorrt_build": tensorrt_build, "tensorrt_times": tensorrt_times,
}  # fmt: skip


def _outputs(one: dict[str, Any], feed: dict[str, Any]) -> list[dict[str, Any]]:
    """All outputs of one inference; a bundle is verified and tested first."""
    from edgetune_runtime.engine import Engine
    from edgetune_runtime.session import open_session

    if one["bundle"]:
        Engine.open(one["bundle"]).close()
    session = open_session(Path(one["file"]), one["session"], one["threads"])
    return [_encoded(array) for array in session.run(None, feed)]


@contextlib.contextmanager
def _loaded(one: dict[str, Any], feed: dict[str, Any], threads: int) -> Iterator[Any]:
    from edgetune_runtime.latency import VariedCall
    from edgetune_runtime.session import open_session

    run = open_session(Path(one["file"]), one["session"], threads).run
    if one.get("samples"):
        name = one["names"][0]
        yield VariedCall(lambda ids: run(None, {name: ids}), _samples(one["samples"]))
    else:
        yield lambda: run(None, feed)


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    """Whatever goes wrong with an engine is told with its name."""
    try:
        yield
    except Exception as problem:
        raise RuntimeProblem(f"{name}: {' '.join(str(problem).split())}") from problem


def _feed(file: str, names: list[str]) -> dict[str, Any]:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[f"i{number}"] for number, name in enumerate(names)}


def _samples(file: str) -> list[Any]:
    """Inputs of different sizes, which the runs go through."""
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return [arrays[f"s{number}"] for number in range(len(arrays.files))]


def _encoded(array: Any) -> dict[str, Any]:
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "bytes": base64.b64encode(array.tobytes()).decode("ascii"),
    }


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other measurement of edgetune's runs on this device, whoever started it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    file = _lock_file()
    if file is None:
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _tick(0, 0, "waiting: another measurement runs on this device")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_file() -> IO[str] | None:
    for mode in ("a", "r"):  # another user's file may be read and locked, not written
        with contextlib.suppress(OSError):
            return LOCK.open(mode)
    return None


def _tick(done: int, total: int, note: str) -> None:
    _say({"progress": [done, total, note]})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(MARK + json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
