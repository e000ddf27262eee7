"""Two engines, one of each run: what changed in accuracy, latency and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetune.compare.match import Matched, match
from edgetune.compare.predictions import Predictions
from edgetune.compare.runs import Run
from edgetune.devices.identity import fingerprint
from edgetune.errors import MeasureError
from edgetune.measure.noise import judge_measurement
from edgetune.measure.statistics import accuracy_change, per_class_change, ratio_between_runs, unpaired_interval
from edgetune.report.measured import same_measurement
from edgetune.report.view import candidates

Json = Mapping[str, Any]
REBUILD = "`edgetune build` makes a run that has it, from what is cached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """How the test splits of a target relate: ``matched`` None where they cannot be told sample by sample."""

    a: Predictions | None
    b: Predictions | None
    matched: Matched | None
    why_unpaired: str | None

    def to_json(self) -> dict[str, Any]:
        """Counts, and why the statistics are unpaired."""
        found = self.matched
        return {
            "common": None if found is None else int(found.a.size),
            "only_a": None if found is None else found.only_a,
            "only_b": None if found is None else found.only_b,
            "relabelled": None if found is None else found.relabelled,
            "why_unpaired": self.why_unpaired,
        }


def pair_samples(a: Run, b: Run, target: str) -> Samples:
    """The test samples that both runs of a target were judged on."""
    first, second = a.predictions.get(target), b.predictions.get(target)
    if first is None or second is None:
        which = " and ".join(name for name, found in (("A", first), ("B", second)) if found is None)
        why = f"there is no predictions/{target}.json in run {which}, so that answers cannot be paired ({REBUILD})"
        return Samples(a=first, b=second, matched=None, why_unpaired=why)
    names = [[found.labels[k] for k in found.truth] for found in (first, second)]
    matched = match(first.ids, names[0], second.ids, names[1])
    why_not = None if matched.a.size else "the test splits have no sample in common"
    return Samples(a=first, b=second, matched=matched, why_unpaired=why_not)


def compare_engines(a: Run, b: Run, target: str, names: tuple[str, str], samples: Samples) -> dict[str, Any]:
    """What changed from the engine ``names[0]`` of run a to ``names[1]`` of run b."""
    first, second = _candidate(a, target, names[0]), _candidate(b, target, names[1])
    digests = [one.get("engine_digest") for one in (first, second)]
    return {
        "a": names[0],
        "b": names[1],
        "identical": digests[0] is not None and digests[0] == digests[1],
        "accuracy": _accuracy(a, b, first, second, samples),
        "latency": _latency(a, b, target, first, second, samples),
        "size": _size(first["size_bytes"], second["size_bytes"]),
    }


def flips(names: tuple[str, str], samples: Samples) -> list[dict[str, Any]]:
    """Every common sample that only one of the two engines is right on, those that became wrong first.

    Within each kind the surest mistakes come first.
    """
    found = _paired_answers(names, samples)
    if found is None:
        return []
    truth, a, b, labels = found
    assert samples.a is not None and samples.matched is not None  # what is paired has predictions
    sure = [
        one.engines[name].confidence[positions]
        for one, name, positions in (
            (samples.a, names[0], samples.matched.a),
            (samples.b, names[1], samples.matched.b),
        )
        if one is not None
    ]
    rows = []
    for i in np.flatnonzero((a == truth) != (b == truth)):
        lost = bool(a[i] == truth[i])
        rows.append(
            {
                "id": samples.a.ids[samples.matched.a[i]],
                "kind": "negative" if lost else "positive",
                "truth": labels[truth[i]],
                "a": labels[a[i]],
                "b": labels[b[i]],
                "confidence_a": float(sure[0][i]),
                "confidence_b": float(sure[1][i]),
            }
        )
    wrong = {"negative": "confidence_b", "positive": "confidence_a"}
    return sorted(rows, key=lambda row: (row["kind"], -row[wrong[row["kind"]]], row["id"]))


def _candidate(run: Run, target: str, name: str) -> Json:
    entry = run.target(target)
    assert entry is not None  # targets are compared that both have
    found: Json = next(candidate for candidate in candidates(entry) if candidate["name"] == name)
    return found


def _paired_answers(
    names: tuple[str, str], samples: Samples
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], tuple[str, ...]] | None:
    """Truth and both engines' answers on the common samples, all in the classes of run a; None: not known."""
    first, second, found = samples.a, samples.b, samples.matched
    if first is None or second is None or found is None or not found.a.size:
        return None
    if names[0] not in first.engines or names[1] not in second.engines:
        return None
    place = np.asarray([first.labels.index(label) for label in second.labels])
    answers_b = place[second.engines[names[1]].answer[found.b]]
    return first.truth[found.a], first.engines[names[0]].answer[found.a], answers_b, first.labels


def _accuracy(a: Run, b: Run, first: Json, second: Json, samples: Samples) -> dict[str, Any]:
    found = _paired_answers((first["name"], second["name"]), samples)
    if found is None:
        return _unpaired(a, b, first, second, samples)
    truth, answers_a, answers_b, labels = found
    right_a, right_b = answers_a == truth, answers_b == truth
    classes = [
        {**row, "recall_a": float(of_a), "recall_b": float(of_b), "positive_flips": won}
        for row, of_a, of_b, won in zip(
            per_class_change(truth, right_a, right_b, labels),
            *_by_class(truth, right_a, right_b, len(labels)),
            strict=True,
        )
    ]
    return {
        "paired": True,
        "why": None,
        "a": float(right_a.mean()),
        "b": float(right_b.mean()),
        "n_a": int(truth.size),
        "n_b": int(truth.size),
        "change": accuracy_change(right_a, right_b),
        "per_class": classes,
    }


def _by_class(
    truth: NDArray[np.int64], right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], classes: int
) -> tuple[list[float], list[float], list[int]]:
    """Recalls of both engines and samples won, for the classes that occur."""
    present = [truth == k for k in range(classes) if np.any(truth == k)]
    return (
        [float(right_a[one].mean()) for one in present],
        [float(right_b[one].mean()) for one in present],
        [int(np.sum(~right_a[one] & right_b[one])) for one in present],
    )


def _unpaired(a: Run, b: Run, first: Json, second: Json, samples: Samples) -> dict[str, Any]:
    """From each run's own accuracy and number of test samples."""
    nothing = {"paired": False, "change": None, "per_class": None}
    counts = [sum((run.report["dataset"].get("counts") or {}).get("test", {}).values()) for run in (a, b)]
    shares = [(one["metrics"] or {}).get("accuracy") for one in (first, second)]
    told = {**nothing, "a": shares[0], "b": shares[1], "n_a": counts[0], "n_b": counts[1]}
    known = [(share, n) for share, n in zip(shares, counts, strict=True) if share is not None and n]
    if len(known) < 2:
        return {**told, "why": "a run has no accuracy of this engine"}
    (share_a, n_a), (share_b, n_b) = known
    low, high = unpaired_interval(round(share_a * n_a), n_a, round(share_b * n_b), n_b)
    change = {"value": 100 * (share_b - share_a), "ci95": [100 * low, 100 * high]}
    return {**told, "change": change, "why": samples.why_unpaired or "a run has no answers of this engine"}


def _latency(a: Run, b: Run, target: str, first: Json, second: Json, samples: Samples) -> dict[str, Any]:
    medians = [(one["latency_ms"] or {}).get("p50") for one in (first, second)]
    told: dict[str, Any] = {"a_ms": medians[0], "b_ms": medians[1], "ratio": None, "why": None}
    if None in medians:
        which = " and ".join(name for name, median in zip("AB", medians, strict=True) if median is None)
        return {**told, "why": f"not timed in {which}"}
    if why := not_comparable(a, b, target, samples):
        return {**told, "why": why}
    raw = [run.latency[target]["engines"].get(one["name"]) for run, one in ((a, first), (b, second))]
    try:
        ratio = ratio_between_runs(
            raw[0]["values"], raw[1]["values"], before_loads=raw[0]["runs_by_load"], after_loads=raw[1]["runs_by_load"]
        )
    except (MeasureError, KeyError, TypeError, ValueError) as error:
        reason = error.message if isinstance(error, MeasureError) else "they are damaged"
        return {**told, "why": f"the raw latencies have no interval: {reason}"}
    return {**told, "ratio": ratio}


def not_comparable(a: Run, b: Run, target: str, samples: Samples) -> str | None:
    """Why the latencies of a target in two runs say nothing about each other; None: they do."""
    raw = [run.latency.get(target) for run in (a, b)]
    if missing := [name for name, found in zip("AB", raw, strict=True) if found is None]:
        return f"there is no measurements/{target}.json in run {' and '.join(missing)}"
    first, second = (found for found in raw if found is not None)
    try:
        same = fingerprint(first["device"]) == fingerprint(second["device"])
    except (KeyError, TypeError):
        return "a run does not say which device it was measured on"
    if not same:
        return f"measured on different devices ({_differences(first['device'], second['device'])})"
    for key in ("threads", "batch"):
        if first.get(key) != second.get(key):
            return f"measured with {key} {first.get(key)} and {second.get(key)}"
    if not _reads_text(a) and not _reads_text(b):
        return None
    if samples.a is None or samples.b is None:
        return "latencies of texts are over validation texts, and a run does not say which"
    return None if samples.a.validation == samples.b.validation else "timed over different validation texts"


def measured_once(a: Run, b: Run, target: str) -> bool:
    """Whether both runs show one and the same measurement, found in the store by the second."""
    return same_measurement(a.latency.get(target), b.latency.get(target))


def noise(run: Run, target: str) -> list[str]:
    """Why the machine was noisy while a target was measured, as far as the raw values tell; empty: it was quiet."""
    found = run.latency.get(target)
    if found is None:
        return []
    try:
        return judge_measurement(found)
    except (KeyError, TypeError, ValueError):  # damaged, which the ratio tells
        return []


def _reads_text(run: Run) -> bool:
    return str(run.report["recipe"].get("model", {}).get("name", "")).startswith("transformers/")


def _differences(a: Json, b: Json) -> str:
    """What of the devices differs; the name, which may tell whose it is, is no part of it."""
    keys = ("model", "cpu", "arch", "cores", "cores_usable", "os")
    told = [f"{key.replace('_', ' ')}: {a[key]} and {b[key]}" for key in keys if a[key] != b[key]]
    return "; ".join(told) or "processor features or memory"


def _size(a: int | None, b: int | None) -> dict[str, Any]:
    return {"a": a, "b": b, "ratio": b / a if a and b else None}
