"""One evaluation for all engines, whoever made them: accuracy on the test split, latency interleaved in one session."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime.session import open_session
from numpy.typing import NDArray

from benchmarks.peers.inputs import Samples
from edgetune.measure.candidates import latency_summary
from edgetune.measure.latency import measure_loads
from edgetune.measure.statistics import accuracy_change, speedup_over_loads

TIMED_SAMPLES = 64
PERCENTILES = ("p50", "p90", "p99", "n")


class Inference:
    """One inference after the other, of samples that the number of the round chooses: the same for all engines."""

    def __init__(self, session: Any, samples: Sequence[NDArray[Any]]) -> None:
        self.session, self.samples = session, samples
        self.names = [entry.name for entry in session.get_inputs()]
        self.order: Iterator[int] = itertools.repeat(0)  # the warm-up's

    def begin(self, number: int) -> None:
        """Choose the samples of a round."""
        self.order = iter(random.Random(number).choices(range(len(self.samples)), k=1000))

    def __call__(self) -> NDArray[Any]:
        return self.logits(self.samples[next(self.order)])

    def logits(self, sample: NDArray[Any]) -> NDArray[np.float32]:
        """Float32 [1, K] for one sample [1, ...]; files of an encoder may take a mask and segment ids too."""
        feed = {self.names[0]: sample}
        if len(self.names) > 1:
            more = {
                "input_ids": sample,
                "attention_mask": np.ones_like(sample),
                "token_type_ids": np.zeros_like(sample),
            }
            feed = {name: more[name] for name in self.names}
        found: NDArray[np.float32] = self.session.run(None, feed)[0]
        return found


@contextmanager
def opened(path: Path, library: str, samples: Sequence[NDArray[Any]]) -> Iterator[Inference]:
    """An engine loaded anew, on one thread."""
    yield Inference(open_session(path, {"backend": library}, 1), samples)


def answers(path: Path, library: str, test: Samples) -> list[int]:
    """The class that the engine gives each test sample, one inference a sample.

    Raises:
        Exception: whatever the library raises where it cannot run the file.
    """
    with opened(path, library, []) as engine:
        return [int(engine.logits(test.one(number)).argmax()) for number in range(len(test))]


def time_engines(
    engines: Mapping[str, tuple[Path, str]], samples: Samples, *, min_runs: int, max_seconds: float
) -> dict[str, dict[str, Any]]:
    """Latency of every engine (name -> file and library), interleaved, and its speed-up over the first."""
    chosen = np.random.default_rng(0).permutation(len(samples))[:TIMED_SAMPLES]
    inputs = [np.ascontiguousarray(samples.one(int(number))) for number in chosen]
    openers = {name: partial(opened, path, library, inputs) for name, (path, library) in engines.items()}
    raw = measure_loads(openers, min_runs=min_runs, min_seconds=2, max_seconds=max_seconds, seed=0)
    base = next(iter(raw.values()))
    return {
        name: {
            "latency_ms": {key: latency_summary(one.values)[key] for key in PERCENTILES},  # type: ignore[literal-required]
            "speedup": speedup_over_loads(
                base.values, one.values, runs_per_round=base.runs_per_round, runs_by_load=base.runs_by_load
            ),
            "raw_ms": [round(value, 5) for value in one.values],
        }
        for name, one in raw.items()
    }


def accuracy(found: Sequence[int], base: Sequence[int], test: Samples) -> dict[str, Any]:
    """Accuracy of an engine's answers, and its change against the base engine's on the same samples."""
    right, before = np.asarray(found) == test.labels, np.asarray(base) == test.labels
    return {"accuracy": float(right.mean()), "accuracy_change": accuracy_change(before, right)}


def size_of(path: Path) -> int:
    """Bytes of an engine, with the weights that lie beside it."""
    beside = [path.with_suffix(".bin"), path.with_name(path.name + ".data"), path.with_name(path.name + "_data")]
    return path.stat().st_size + sum(other.stat().st_size for other in beside if other.exists())
