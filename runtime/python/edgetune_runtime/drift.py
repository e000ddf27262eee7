"""Whether what comes in the field still looks like what the engine was validated on.

A bundle holds histograms of the validation split (``drift`` in its manifest): the confidence of answers, how often
each class was answered, and the level of inputs (mean of pixels; tokens of a text). A ``DriftMonitor`` holds the last
answers against them by the population stability index of each (PSI; N. Siddiqi, Credit Risk Scorecards, 2006, whose
thresholds 0.1 and 0.25 are taken): the sum of (a - e) ln(a / e) over bins, of actual and expected shares.

The thresholds say nothing of how many samples there are: of few, PSI is large by chance alone. Where nothing has
changed, PSI / (1/n + 1/m) is about chi-square with one degree less than bins (B. Yurdakul and J. Naranjo, Statistical
properties of the population stability index, Journal of Risk Model Validation 2020), so that a value has to lie
above the 99.9 % quantile of that as well.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgetune_runtime.errors import BundleError, InputError
from edgetune_runtime.observation import Observation

if TYPE_CHECKING:
    from edgetune_runtime.engine import Engine

BINS = 10
WINDOW = 500
FEWEST = 50  # samples below which nothing is said
MODERATE, MAJOR = 0.1, 0.25  # Siddiqi's
NORMAL_QUANTILE = 3.0902  # of 99.9 %
RARE = 5  # classes with fewer answers on validation share a bin: chi-square is no good approximation below
SMOOTHING = 0.5  # added to every bin, so that an empty one is not infinitely far
DIGITS = 9  # of edges, as they are stored


def make_baseline(confidences: Sequence[float], classes: Sequence[int], levels: Sequence[float]) -> dict[str, Any]:
    """``drift`` of a manifest, of N answers: probability and number of the class, and the input's level.

    Bins hold about the same number of samples each. The classes' counts reach up to the highest number given.
    """
    counts = np.bincount(np.asarray(classes, dtype=np.int64)).tolist()
    return {
        "samples": len(confidences),
        "confidence": _histogram(np.asarray(confidences, dtype=np.float64)),
        "input": _histogram(np.asarray(levels, dtype=np.float64)),
        "classes": counts,
    }


def _histogram(values: np.ndarray) -> dict[str, Any]:
    edges = np.unique(np.round(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]), DIGITS))
    return {"edges": edges.tolist(), "counts": _counted(values, edges).tolist()}


def _counted(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many lie below the first edge, from each edge to the next, and from the last on."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def stability_index(expected: np.ndarray, actual: np.ndarray) -> float:
    """PSI of two histograms with the same bins (counts)."""
    shares = [(counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts)) for counts in (expected, actual)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def chance_limit(bins: int, expected: int, actual: int) -> float:
    """What PSI exceeds once in a thousand times when nothing has changed.

    The quantile of chi-square is Wilson and Hilferty's (Proceedings of the National Academy of Sciences 17, 1931).
    """
    freedom = max(1, bins - 1)
    spread = 2 / (9 * freedom)
    return freedom * (1 - spread + NORMAL_QUANTILE * math.sqrt(spread)) ** 3 * (1 / expected + 1 / actual)


class DriftMonitor:
    """Takes observations (it can be an engine's or a pipeline's ``hook``) and compares the last ``window`` of them.

    Raises:
        BundleError: the bundle has no baseline, or one that cannot be. InputError: ``window`` below 50.
    """

    def __init__(self, engine: Engine, *, window: int = WINDOW) -> None:
        """The baseline is that of ``engine``'s bundle."""
        if window < FEWEST:
            raise InputError(f"window is {window}, it must be {FEWEST} or more: fewer samples tell nothing")
        baseline = engine.manifest.get("drift")
        if baseline is None:
            raise BundleError("the bundle has no baseline of validation (`drift`): build it with a newer edgetune")
        self._histograms = {name: _read_histogram(baseline, name) for name in ("confidence", "input")}
        self._bins, self._expected = _class_bins(_read_counts(baseline, "classes"), len(engine.labels))
        self._numbers = {label: number for number, label in enumerate(engine.labels)}
        self._seen: deque[tuple[float, float, int]] = deque(maxlen=window)

    def __call__(self, observation: Observation) -> None:
        """Take one answer; refused samples are left out."""
        if observation.label is None or observation.confidence is None or observation.input_level is None:
            return
        self._seen.append((observation.confidence, observation.input_level, self._numbers[observation.label]))

    def report(self) -> dict[str, Any]:
        """``samples`` looked at, and for confidence, input and classes: ``psi``, ``limit`` of chance and a ``verdict``.

        A verdict is "stable", "moderate" (PSI above 0.1 and the limit), "major" (above 0.25 and the limit) or "too
        few samples". ``verdict`` of the whole is the worst.
        """
        seen = list(self._seen)  # a copy: threads may go on adding
        signals = {}
        for position, (name, (edges, expected)) in enumerate(self._histograms.items()):
            values = np.asarray([row[position] for row in seen], dtype=np.float64)
            signals[name] = _judged(expected, _counted(values, edges))
        answered = np.bincount([self._bins[row[2]] for row in seen], minlength=len(self._expected))
        signals["classes"] = _judged(self._expected, answered)
        verdicts = [signal["verdict"] for signal in signals.values()]
        worst = max(verdicts, key=("too few samples", "stable", "moderate", "major").index)
        return {"samples": len(seen), "verdict": worst, **signals}


def _judged(expected: np.ndarray, actual: np.ndarray) -> dict[str, Any]:
    n = int(actual.sum())
    if n < FEWEST:
        return {"psi": None, "limit": None, "verdict": "too few samples"}
    psi, limit = stability_index(expected, actual), chance_limit(len(expected), int(expected.sum()), n)
    verdict = "stable" if psi <= max(MODERATE, limit) else "moderate" if psi <= max(MAJOR, limit) else "major"
    return {"psi": psi, "limit": limit, "verdict": verdict}


def _class_bins(counts: np.ndarray, classes: int) -> tuple[list[int], np.ndarray]:
    """The bin of each class and the counts of bins: rare classes share bins, from the rarest on."""
    if len(counts) > classes:
        raise BundleError(f"the bundle's baseline has {len(counts)} classes, the engine has {classes}")
    counts = np.pad(counts, (0, classes - len(counts)))
    bins, sums = [0] * classes, [0]
    for number in np.argsort(counts, kind="stable").tolist():
        if sums[-1] >= RARE:
            sums.append(0)
        bins[number] = len(sums) - 1
        sums[-1] += int(counts[number])
    return bins, np.asarray(sums)


def _read_histogram(baseline: Mapping[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    entry = baseline.get(name) if isinstance(baseline, Mapping) else None
    counts = _read_counts(entry, "counts")
    try:
        edges = np.asarray(entry["edges"], dtype=np.float64)  # type: ignore[index]
        fine = edges.shape == (len(counts) - 1,) and np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    except (KeyError, TypeError, ValueError, OverflowError):
        fine = False
    if not fine:
        raise BundleError(f"the bundle's baseline of {name} has edges that do not fit its counts; copy it again")
    return edges, counts


def _read_counts(entry: Any, key: str) -> np.ndarray:
    counts = entry.get(key) if isinstance(entry, Mapping) else None
    fine = isinstance(counts, list) and all(type(count) is int and 0 <= count < 1 << 40 for count in counts)
    if not fine or not sum(counts):
        raise BundleError(f"the bundle's baseline has no counts of {key}; copy it again")
    return np.asarray(counts, dtype=np.int64)
