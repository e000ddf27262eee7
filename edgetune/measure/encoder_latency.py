"""What an encoder's layers, heads and neurons cost on a device: from engines that lack some of them.

The network, and three copies cut in different ways, are exported in the target's arithmetic and timed side by side on
texts of middle length; differences of their latencies are the costs. Weights do not matter to the time.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime.session import open_session
from numpy.typing import NDArray

from edgetune.devices.protocol import Device
from edgetune.errors import MeasureError
from edgetune.measure.engines import find_engines
from edgetune.measure.latency import Call, measure_loads
from edgetune.measure.remote import measured_there
from edgetune.measure.scenarios import Scenario
from edgetune.progress import Tick, silent
from edgetune.records import BenchSpec

MIN_RUNS, MIN_SECONDS, MAX_SECONDS = 100, 1.0, 20.0


def median_latencies(
    files: Mapping[str, Path],
    ids: NDArray[np.int64],
    *,
    session: Mapping[str, Any],
    seed: int,
    progress: Tick = silent,
    device: Device | None = None,
) -> dict[str, float]:
    """Median milliseconds of one inference of ``ids`` [1, L] by each ONNX file, interleaved, here or on ``device``.

    Raises:
        DeviceError: it cannot do it. MeasureError: it is emulated.
    """
    if device is not None:
        return _there(device, files, ids, session, seed, progress)

    def opener(file: Path) -> Callable[[], Any]:
        @contextmanager
        def opened() -> Iterator[Call]:
            engine = open_session(file, dict(session))
            name = engine.get_inputs()[0].name
            yield lambda: engine.run(None, {name: ids})

        return opened

    raw = measure_loads(
        {name: opener(file) for name, file in files.items()},
        min_runs=MIN_RUNS,
        min_seconds=MIN_SECONDS,
        max_seconds=MAX_SECONDS,
        seed=seed,
        progress=progress,
    )
    return {name: statistics.median(one.values) for name, one in raw.items()}


def _there(
    device: Device,
    files: Mapping[str, Path],
    ids: NDArray[np.int64],
    session: Mapping[str, Any],
    seed: int,
    progress: Tick,
) -> dict[str, float]:
    spec = BenchSpec(
        threads=session.get("threads", 1), min_runs=MIN_RUNS, min_seconds=MIN_SECONDS, max_seconds=MAX_SECONDS
    )
    with find_engines(list(files.values()), threads=spec.threads) as plain:
        engines = [replace(one, name=name, session=session) for one, name in zip(plain, files, strict=True)]
        feeds = {one.name: {one.inputs[0].name: ids} for one in engines}
        found = measured_there(device, engines, feeds, spec, Scenario(), seed, progress)
    if found.raw is None:
        raise MeasureError(f"{device.name} is emulated: nothing is timed there")
    return {name: statistics.median(raw.values) for name, raw in found.raw.items()}
