"""What an encoder's layers, heads and neurons cost on this machine: from engines that lack some of them.

The network, and three copies cut in different ways, are exported in the target's arithmetic and timed side by side on
texts of middle length; differences of their latencies are the costs. Weights do not matter to the time.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime.session import open_session
from numpy.typing import NDArray

from edgetune.measure.latency import Call, measure_loads
from edgetune.progress import Tick, silent

MIN_RUNS, MIN_SECONDS, MAX_SECONDS = 100, 1.0, 20.0


def median_latencies(
    files: Mapping[str, Path], ids: NDArray[np.int64], *, session: Mapping[str, Any], seed: int, progress: Tick = silent
) -> dict[str, float]:
    """Median milliseconds of one inference of ``ids`` [1, L] by each ONNX file, interleaved."""

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
