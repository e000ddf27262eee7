"""Put a target's candidates side by side, with statistics, and choose."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.hashing import canonical_json
from edgetune.measure.calibration import calibration
from edgetune.measure.candidates import latency_summary
from edgetune.measure.metrics import confusion_matrix, per_class_metrics
from edgetune.measure.noise import judge_measurement
from edgetune.measure.proportion import SIGNIFICANCE, binomial_tail
from edgetune.measure.selection import BASELINE, gates, select, trade_off, unmeasured
from edgetune.measure.states import summary
from edgetune.measure.statistics import accuracy_change, per_class_change, speedup_over_loads
from edgetune.measure.validation import on_validation
from edgetune.steps.context import StepContext
from edgetune.steps.tensorrt_times import built_reasons


def run(context: StepContext) -> None:
    """Write ``target.json`` (the report's entry of the target and its gates)."""
    if "untimed" in context.params:
        _write(context, {"entry": _untimed(context), "gates": []})
        return
    measured = _read(context.inputs["measure"] / "latency.json")
    labels = _read(context.inputs["dataset"] / "dataset.json")["labels"]
    logits = {
        name: dict(np.load(context.inputs[f"evaluate:{name}"] / "logits.npz"))
        for name in (c["name"] for c in context.params["candidates"])
        if f"evaluate:{name}" in context.inputs and name in measured["engines"]
    }
    candidates = [_candidate(plain, context, measured, logits, labels) for plain in context.params["candidates"]]
    chosen, reasons = select(candidates, context.params["budget"])
    by_name = {candidate["name"]: candidate for candidate in candidates}
    shipped = logits[chosen]
    content = {
        "entry": {
            "target": context.params["target"],
            "status": "measured",
            "device": {
                **measured["device"],
                "threads": measured["threads"],
                "before": measured["telemetry"]["before"],
                "during": summary(measured["telemetry"]["during"]),
                "after": measured["telemetry"]["after"],
            },
            "baseline": by_name[BASELINE],
            "candidates": candidates,
            "chosen": chosen,
            "reason": [*reasons, *_no_better_than_chance(logits[BASELINE], labels)],
            "trade_off": trade_off(candidates),
            "noise": judge_measurement(measured),
            **({"builder": built_reasons(measured)} if "builds" in measured else {}),
            "confusion": {
                "labels": labels,
                "matrix": confusion_matrix(shipped["test_logits"], shipped["test_labels"]).tolist(),
            },
            "per_class": [
                {"label": label, **metrics}
                for label, metrics in zip(
                    labels, per_class_metrics(shipped["test_logits"], shipped["test_labels"]), strict=True
                )
            ],
            "calibration": calibration(
                shipped["val_logits"], shipped["val_labels"], shipped["test_logits"], shipped["test_labels"]
            ),
            "bundle": f"bundles/{context.params['target']}",
        },
        "gates": gates(context.params["target"], by_name[BASELINE], by_name[chosen], context.params["budget"]),
    }
    _write(context, content)


def _no_better_than_chance(logits: dict[str, Any], labels: list[str]) -> list[str]:
    """A sentence if the float network itself is not proven better than one answer for everything (binomial test)."""
    for split, name in (("val", "validation"), ("test", "test")):
        truth = logits[f"{split}_labels"]
        counts = np.bincount(truth, minlength=len(labels))
        share, most = float(counts.max() / len(truth)), labels[int(counts.argmax())]
        if binomial_tail(int(_right(logits, split).sum()), len(truth), share) >= SIGNIFICANCE:
            return [
                f"The float network itself is not proven better than always answering {most}, which is right for "
                f"{share:.0%} of the {len(truth)} {name} samples: train longer, look at the data (`edgetune check`), "
                "or get more of it."
            ]
    return []


def _write(context: StepContext, content: dict[str, Any]) -> None:
    (context.out / "target.json").write_text(canonical_json(content), encoding="utf-8")


def _untimed(context: StepContext) -> dict[str, Any]:
    """Accuracies of a device that cannot be timed; nothing is chosen, since nothing can be proven faster."""
    params, labels = context.params, _read(context.inputs["dataset"] / "dataset.json")["labels"]
    plain = {c["name"]: c for c in params["candidates"]}
    logits = {n: dict(np.load(context.inputs[f"evaluate:{n}"] / "logits.npz")) for n in plain if _evaluated(n, context)}
    candidates = [
        {
            **unmeasured(one, "prepared", f"Not timed: {params['untimed']}."),
            **_facts(name, context, logits),
            **_compared(name, logits, labels),
        }
        if name in logits
        else unmeasured(one, "failed", "a step before its evaluation failed; see the build's output")
        for name, one in plain.items()
    ]
    return {
        "target": params["target"],
        "status": "prepared",
        "device": _read(context.inputs[f"evaluate:{BASELINE}"] / "device.json"),
        "baseline": candidates[list(plain).index(BASELINE)],
        "candidates": candidates,
        "chosen": None,
        "reason": [
            f"Evaluated, not timed: {params['untimed']}.",
            "Without latency no engine is proven faster, so none was chosen and no bundle was made.",
            f"The ONNX files are under prepared/{params['target']}.",
        ],
        "confusion": None,
        "bundle": None,
    }


def _evaluated(name: str, context: StepContext) -> bool:
    return f"evaluate:{name}" in context.inputs


def _facts(name: str, context: StepContext, logits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is known of an engine besides its latency."""
    metrics, budget = _read(context.inputs[f"evaluate:{name}"] / "metrics.json"), context.params["budget"]
    counts = _read(context.inputs[f"network:{name}"] / "model.json")["counts"]
    engine = _engine_file(context.inputs[f"engine:{name}"] / "engine")
    return {
        "selection": on_validation(
            _right(logits[BASELINE], "val"),
            _right(logits[name], "val"),
            max_accuracy_drop=budget["max_accuracy_drop"],
            confidence=budget["confidence"],
        ),
        "metrics": metrics["test"],
        "size_bytes": engine["size"],
        "engine_digest": engine["sha256"],
        "parameters": counts["parameters"],
        "macs": counts["macs"],
    }


def _candidate(
    plain: dict[str, Any],
    context: StepContext,
    measured: dict[str, Any],
    logits: dict[str, dict[str, Any]],
    labels: list[str],
) -> dict[str, Any]:
    name = plain["name"]
    if name not in logits:
        return unmeasured(plain, "failed", "a step before its measurement failed; see the build's output")
    raw = measured["engines"][name]
    return {
        **plain,
        "status": "measured",
        "reason": None,
        **_facts(name, context, logits),
        "latency_ms": latency_summary(raw["values"]),
        "peak_rss_bytes": measured["peak_rss_bytes"][name],
        "energy_joules": float(np.median(energy[name])) if (energy := measured.get("energy_joules")) else None,
        "warmups": len(raw["warmup_values"]),
        "latency_raw": f"measurements/{context.params['target']}.json",
        **_against_baseline(name, measured, logits, labels),
    }


def _against_baseline(
    name: str, measured: dict[str, Any], logits: dict[str, dict[str, Any]], labels: list[str]
) -> dict[str, Any]:
    compared = _compared(name, logits, labels)
    if name == BASELINE:
        return {**compared, "speedup": None}
    raw, reference = measured["engines"][name], measured["engines"][BASELINE]
    speedup = speedup_over_loads(
        reference["values"],
        raw["values"],
        runs_per_round=raw["runs_per_round"],
        runs_by_load=raw["runs_by_load"],
    )
    return {**compared, "speedup": speedup}


def _compared(name: str, logits: dict[str, dict[str, Any]], labels: list[str]) -> dict[str, Any]:
    """How the accuracy differs from the baseline's."""
    if name == BASELINE:
        return {"accuracy_change": None, "per_class_change": None}
    before, after = _right(logits[BASELINE], "test"), _right(logits[name], "test")
    return {
        "accuracy_change": accuracy_change(before, after),
        "per_class_change": per_class_change(logits[name]["test_labels"], before, after, labels),
    }


def _right(arrays: dict[str, Any], split: str) -> Any:
    return arrays[f"{split}_logits"].argmax(1) == arrays[f"{split}_labels"]


def _engine_file(folder: Path) -> dict[str, Any]:
    manifest = _read(folder / "manifest.json")
    plan = manifest["session"].get("tensorrt", {}).get("plan")  # what runs, of an ONNX file that comes with it
    file: dict[str, Any] = manifest["files"][plan["file"] if plan else manifest["engine"]["file"]]
    return file


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
