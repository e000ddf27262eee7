"""Folders of runs with the answers and latencies a test wants, written by the code that writes real ones."""

import json
from pathlib import Path

import numpy as np

from edgetune.compare.predictions import write_predictions
from edgetune.devices import local
from edgetune.hashing import digest_json
from edgetune.measure.candidates import latency_summary
from edgetune.measure.metrics import classification_metrics
from edgetune.measure.selection import unmeasured
from edgetune.report.validate import validate

LABELS = ["cat", "dog", "owl"]
LOADS, RUNS = 10, 40
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5Er"
    "kJggg=="
)


def logits_for(answers, classes):
    """Outputs [N, K] of a network that gives these answers, quite sure of them."""
    return 4.0 * np.eye(classes)[np.asarray(answers)]


def latencies(median, seed, scatter=0.01):
    """Raw values of ten loads, each with a pace of its own."""
    rng = np.random.default_rng(seed)
    return (median * rng.lognormal(0, scatter, LOADS)[:, None] * rng.lognormal(0, 0.01, (LOADS, RUNS))).ravel().tolist()


def write_run(
    folder: Path, *, contents, truth, answers, chosen="int8", labels=LABELS, median=2.0, size=1000, seed=0,
    target="x86-cpu", device=None, name=None, model="torchvision/mobilenet_v2", data="photos", timed=True,
    validation=("v",), threads=1,
) -> Path:  # fmt: skip
    """A run that was judged on ``contents`` (their digests are the samples) with ``answers`` {engine: classes}."""
    folder.mkdir(parents=True)
    samples = [{"split": "test", "sha256": c, "label": t} for c, t in zip(contents, truth, strict=True)]
    samples += [{"split": "val", "sha256": digest_json(value), "label": 0} for value in validation]
    logits = {
        engine: {"test_logits": logits_for(given, len(labels)), "test_labels": np.asarray(truth)}
        for engine, given in answers.items()
    }
    write_predictions(folder / f"predictions/{target}.json", target, {"labels": labels, "samples": samples}, logits)
    raw = {engine: latencies(median, seed + i) for i, engine in enumerate(answers)}
    content = {
        "unit": "ms", "batch": 1, "threads": threads, "device": device or local.describe(),
        "telemetry": {"before": {}, "after": {}},
        "engines": {e: {"values": v, "runs_by_load": [RUNS] * LOADS, "runs_per_round": 4} for e, v in raw.items()},
    }  # fmt: skip
    if timed:
        (folder / "measurements").mkdir()
        (folder / f"measurements/{target}.json").write_text(json.dumps(content))
    made = []
    for engine, arrays in logits.items():
        plain = {"name": engine, "precision": "int8" if "int8" in engine else "fp32", "pruning_ratio": 0.0}
        made.append(
            {
                **unmeasured(
                    {**plain, "pruning_speedup": None},
                    "measured" if timed else "prepared",
                    None if timed else "Not timed.",
                ),
                "metrics": classification_metrics(arrays["test_logits"], arrays["test_labels"]),
                "latency_ms": latency_summary(raw[engine]) if timed else None,
                "size_bytes": size,
                "engine_digest": digest_json([engine, [int(a) for a in answers[engine]], size]),
            }
        )
    report = {
        "schema": "edgetune.report/1", "edgetune": "0.1.0", "created": "2026-03-14T09:26:53+00:00",
        "run": name or folder.name, "recipe": {"model": {"name": model}, "data": {"path": data}},
        "dataset": {
            "labels": labels,
            "counts": {"test": {label: int(np.sum(np.asarray(truth) == k)) for k, label in enumerate(labels)}},
        },
        "environment": {"versions": {"onnxruntime": "1.31.0"}}, "gates": [],
        "targets": [
            {
                "target": target, "status": "measured" if timed else "prepared", "device": device or local.describe(),
                "baseline": made[0], "candidates": made, "chosen": chosen if timed else None, "reason": [],
                "confusion": None, "bundle": None,
            }
        ],
    }  # fmt: skip
    validate(report)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def contents(count, first=0):
    """Digests of so many different samples."""
    return [digest_json(number) for number in range(first, first + count)]
