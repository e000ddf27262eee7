"""A report as a build writes it: one measured target, one prepared, one failed."""

import copy

import numpy as np
import pytest
from small_runs import PIXEL

from edgetune.measure.candidates import latency_summary
from edgetune.measure.metrics import classification_metrics, confusion_matrix, per_class_metrics
from edgetune.measure.statistics import accuracy_change, paired_speedup, per_class_change

LABELS = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt"]
SEED = 7


def _logits(labels, accuracy, rng):
    """Outputs [N, 10] of a network that is right this often and errs towards a neighbour."""
    x = rng.normal(0, 1.0, (labels.size, 10))
    wrong = rng.random(labels.size) > accuracy
    answer = np.where(wrong, (labels + rng.choice([1, 2, 9], labels.size)) % 10, labels)
    x[np.arange(labels.size), answer] += 5 + rng.random(labels.size)
    return x


def _latency(median, runs, rng):
    drift = 1 + 0.02 * np.sin(np.linspace(0, 4, runs))
    values = median * drift * rng.lognormal(0, 0.015, runs)
    values[rng.random(runs) < 0.01] *= 1.8
    return values


def _candidate(name, precision, ratio, **fields):
    empty = dict.fromkeys(
        ("reason", "selection", "metrics", "accuracy_change", "latency_ms", "speedup", "size_bytes",
         "peak_rss_bytes", "parameters", "macs")
    )  # fmt: skip
    return {
        "name": name,
        "precision": precision,
        "pruning_ratio": ratio,
        "pruning_speedup": None,
        "status": "measured",
        **empty,
        **fields,
    }


def _measured():
    rng = np.random.default_rng(SEED)
    labels = np.sort(rng.integers(0, 10, 372))
    base_logits, base_ms = _logits(labels, 0.925, rng), _latency(3.11, 720, rng)
    base_right = base_logits.argmax(1) == labels
    # fmt: off
    table = [
        # name, precision, ratio, flips, ms, bytes, rss, parameters, macs, runs
        ("float", "fp32", 0.0, 0.0, 3.11, 8_960_000, 91_000_000, 2_236_682, 158_000_000, 720),
        ("int8", "int8", 0.0, 0.012, 1.88, 2_540_000, 82_000_000, 2_236_682, 158_000_000, 720),
        ("pruned-15", "fp32", 0.15, 0.015, 2.74, 7_210_000, 88_000_000, 1_790_114, 131_000_000, 720),
        ("pruned-15-int8", "int8", 0.15, 0.02, 1.71, 2_060_000, 80_000_000, 1_790_114, 131_000_000, 720),
        ("pruned-30", "fp32", 0.3, 0.05, 2.21, 5_480_000, 85_000_000, 1_350_520, 104_000_000, 400),
        ("pruned-30-int8", "int8", 0.3, 0.06, 1.49, 1_610_000, 79_000_000, 1_350_520, 104_000_000, 400),
    ]
    made, kept = [], {}
    for name, precision, ratio, flips, ms, size, rss, parameters, macs, runs in table:
        logits, values = base_logits.copy(), _latency(ms, runs, rng)
        for i in np.flatnonzero(rng.random(labels.size) < flips):
            logits[i] = np.roll(logits[i], 1)
        right, base = logits.argmax(1) == labels, name == "float"
        accuracy = float(right.mean())
        made.append(
            _candidate(
                name, precision, ratio,
                selection={"split": "val", "accuracy": min(accuracy + 0.004, 1.0), "n": 341},
                metrics=classification_metrics(logits, labels),
                accuracy_change=None if base else accuracy_change(base_right, right),
                latency_ms=latency_summary(base_ms if base else values),
                speedup=None if base else paired_speedup(base_ms[:runs], values, SEED, runs_per_round=4),
                size_bytes=size, peak_rss_bytes=rss, parameters=parameters, macs=macs, warmups=208,
                latency_raw=f"raw/x86-cpu/{name}.json", engine_digest="ab" * 32,
                per_class_change=None if base else per_class_change(labels, base_right, right, LABELS),
            )
        )  # fmt: skip
        kept[name] = logits
    made[4]["reason"] = "outside the accuracy budget on the validation split"
    shipped = kept["int8"]
    classes = [{"label": n, **m} for n, m in zip(LABELS, per_class_metrics(shipped, labels), strict=True)]
    return made, {"labels": LABELS, "matrix": confusion_matrix(shipped, labels).tolist()}, classes


def _history():
    runs = [("finetune", 4, 1.9, 0.82), ("prune-15", 3, 0.9, 0.88), ("prune-30", 3, 1.1, 0.84)]
    return [
        {
            "step": step, "epoch": epoch, "train_loss": loss * 0.72**epoch + 0.55, "val_loss": loss * 0.75**epoch + 0.6,
            "val_accuracy": start + 0.1 * (1 - 0.6**epoch),
        }
        for step, epochs, loss, start in runs
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def _flips():
    one = {"truth": "hat", "confidence_baseline": 0.71, "confidence_chosen": 0.93}
    return {
        "negative": 30, "positive": 1,
        "shown": [
            {"kind": "negative", "path": "test/hat/7.jpg", "baseline": "hat", "chosen": "shoes", "thumbnail": PIXEL,
             **one},
            {"kind": "negative", "path": "test.csv:9", "baseline": "hat", "chosen": "skirt", "text": "not a hat",
             **one},
            {"kind": "positive", "path": "test/hat/9.jpg", "baseline": "pants", "chosen": "hat", **one},
        ],
    }  # fmt: skip


def _layers():
    names = [f"features.{number}.conv.{part}" for number in range(1, 18) for part in (0, 1, 2)] + ["classifier.1"]
    return {
        "before": "float", "after": "int8", "sqnr_of": "int8", "missing": [],
        "rows": [
            {"layer": name, "before_ms": 0.05 + 0.001 * i, "after_ms": 0.02, "sqnr_db": 30.5 if i else None}
            for i, name in enumerate(names)
        ],
        "others": [{"operator": "QuantizeLinear", "before_ms": None, "after_ms": 0.012}],
    }  # fmt: skip


def _build():
    made, confusion, classes = _measured()
    device = {
        "name": "local", "model": "ThinkCentre M75q", "cpu": "AMD EPYC 9R14", "arch": "x86_64",
        "cpu_features": ["avx2", "avx512f", "avx512_vnni"], "cores": 2, "memory_bytes": 25_276_502_016,
        "os": "Debian GNU/Linux 12 (bookworm)", "fingerprint": "44e5482dbaa88f9d",
        "before": {"governor": "unknown", "clock_mhz": [2596, 2596], "load_average": [0.1, 0.1, 0.0]},
        "after": {"governor": "unknown", "clock_mhz": [2596, 2596], "load_average": [1.0, 0.4, 0.1]},
    }  # fmt: skip
    flips, layers = _flips(), _layers()
    prepared = "TensorRT is not installed here, so no engine was built and nothing was timed."
    return {
        "schema": "edgetune.report/1", "edgetune": "0.1.0", "created": "2026-03-14T09:26:53+00:00", "run": "clothing10",
        "recipe": {
            "model": {"name": "torchvision/mobilenet_v2", "weights": "weights/mobilenet_v2.safetensors"},
            "data": {"path": "data/clothing10", "image_size": 160}, "finetune": {"strategy": "full", "epochs": 4},
            "prune": {"ratio": [0.0, 0.15, 0.3]}, "quantize": {"mode": "auto"},
            "budget": {"max_accuracy_drop": 1.0, "max_latency_ms": 2.5, "max_size_mb": None},
            "bench": {"threads": 1}, "targets": {"names": ["x86-cpu"]}, "seed": 0,
        },
        "dataset": {
            "labels": LABELS, "carved": [], "skipped": [{"path": "train/hat/broken.jpg", "problem": "truncated"}],
            "counts": {split: dict.fromkeys(LABELS, n) for split, n in (("train", 307), ("val", 34), ("test", 37))},
        },
        "environment": {"python": "3.11.7", "libraries": {"torch": "2.14.0", "onnxruntime": "1.31.0"}},
        "targets": [
            {
                "target": "x86-cpu", "status": "measured", "baseline": made[0], "candidates": made, "chosen": "int8",
                "bundle": "bundles/x86-cpu", "device": device, "confusion": confusion, "per_class": classes,
                "calibration": {"temperature": 1.37, "ece": 0.061, "ece_calibrated": 0.018},
                "flips": flips, "layers": layers,
                "reason": [
                    "int8 is the fastest engine that keeps within 1.0 point of float on the validation split.",
                    "Its speed-up over float is proven: the whole interval lies above 1.",
                ],
            },
            {
                "target": "jetson-orin-nano", "status": "prepared", "baseline": None, "chosen": None, "bundle": None,
                "candidates": [
                    _candidate("int8", "int8", 0.0, status="prepared", reason=prepared, size_bytes=2_610_000)
                ],
                "reason": [prepared, "Copy the folder to the Jetson and run its build script."],
            },
            {
                "target": "arm-cpu", "status": "failed", "baseline": None, "chosen": None, "bundle": None,
                "candidates": [], "reason": ["The device at ssh://pi@raspberry did not answer."],
            },
        ],
        "gates": [
            {"name": "max_accuracy_drop", "target": "x86-cpu", "limit": 1.0, "value": 0.8, "passed": True},
            {"name": "max_latency_ms", "target": "x86-cpu", "limit": 2.5, "value": 1.88, "passed": True},
        ],
        "steps": [
            {"name": "check", "title": "check the data", "seconds": 3.1, "cached": True},
            {"name": "finetune", "title": "fine-tune mobilenet_v2", "seconds": 411.0, "cached": True},
            {"name": "prune-15", "title": "prune 15 % and recover", "seconds": 333.4, "cached": False},
            {"name": "measure", "title": "measure on x86-cpu", "seconds": 41.2, "cached": False},
        ],
        "history": _history(),
        "training": {
            "strategy": "full", "reason": "the median class has 300 training images, at least 20", "best_epoch": 3,
            "stopped_early": True, "micro_batch": 16,
        },
        "data_examples": [{"finding": 0, "path": "train/hat/8.jpg", "thumbnail": PIXEL}],
        "data_findings": ["1 file cannot be read and was skipped: train/hat/broken.jpg (truncated)."],
        "next_commands": [
            "edgetune build edgetune.toml --target x86-cpu", "edgetune-run bundles/x86-cpu photo.jpg",
        ],
    }  # fmt: skip


SAMPLE = _build()


@pytest.fixture
def report():
    """A fresh copy of the sample report, to be altered at will."""
    return copy.deepcopy(SAMPLE)


@pytest.fixture(scope="session")
def sample():
    """The same for fixtures that outlive a test."""
    return copy.deepcopy(SAMPLE)
