"""What all forms of the report show: rows of text made from the report's numbers.

Only this module knows how a gate, a verdict or a candidate is told in words, so that Markdown, HTML
and the terminal cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from edgetune.measure.noise import intervals_hold
from edgetune.measure.proportion import wilson_interval
from edgetune.report import numbers
from edgetune.report.curves import fit_verdict, rate_verdict

Json = Mapping[str, Any]

STATUS_WORDS = {
    "measured": "measured on the device",
    "prepared": "prepared, not measured",
    "failed": "failed",
}
SHOWN_REASONS = 2
FEW_TO_CALIBRATE = 32  # samples; with fewer, extremes of activations are left to chance
ENERGY_UNREADABLE = "the counters of the processor's packages (powercap, RAPL) are not there, or for root alone"
RETRIED = (
    "The loss became NaN or infinite, so that training began again at a tenth of the learning rate: set a lower one "
    "(`edgetune lr-find` suggests it)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One candidate as text."""

    name: str
    role: str  # chosen | baseline | ""
    status: str
    reason: str
    precision: str
    pruning: str
    selection: str
    accuracy: str
    change: str
    f1: str
    ece: str
    p50: str
    p90: str
    p99: str
    p95: str
    p99_9: str
    runs: str
    speedup: str
    size: str
    memory: str
    parameters: str
    macs: str
    mcnemar_p: str
    negative_flips: str
    energy: str


def heading(data: Json) -> str:
    """The network and what it learned: resnet18 on signdigits; a report without them is named after its run."""
    recipe = data["recipe"]
    network = str((recipe.get("model") or {}).get("name") or "").rpartition("/")[2].rpartition(":")[2]
    learned = str((recipe.get("data") or {}).get("path") or "").rstrip("/").rpartition("/")[2]
    if not network:
        return str(data.get("run") or "edgetune report")
    return f"{network} on {learned}" if learned.strip(".") else network


def candidates(target: Json) -> list[Json]:
    """Baseline first, then the others as they were tried; none twice."""
    baseline = target["baseline"]
    others = [c for c in target["candidates"] if baseline is None or c["name"] != baseline["name"]]
    return others if baseline is None else [baseline, *others]


def training_line(data: Json) -> str:
    """How the network was fine-tuned and why so; empty where that was not noted."""
    training = data.get("training")
    if not training:
        return ""
    text = f"Fine-tuned with strategy {training['strategy']}: {training['reason']}."
    if training.get("stopped_early"):
        text += f" Stopped early; epoch {training['best_epoch']} was the best on validation."
    if training.get("micro_batch"):
        text += f" Batches were computed in pieces of at most {training['micro_batch']} samples."
    if training.get("retried"):
        text += f" {RETRIED}"
    if training["strategy"] != "feature-extraction":
        counts = list(data["dataset"].get("counts", {}).get("train", {}).values())
        verdict = failed_training_line(data) or fit_verdict(data.get("history", []), counts)
        text += f" {verdict}" if verdict else ""
    if kept := data.get("forgetting"):
        before, after = numbers.percent(kept["before"]), numbers.percent(kept["after"])
        text += (
            f" On {kept['samples']} pictures of {kept['classes']} classes that it was pretrained for, the network with "
            f"its old head got {before} right, and {after} with the fine-tuned backbone: "
            f"{numbers.change(kept['change'])} points."
        )
        if kept["before"] <= 1 / kept["classes"]:
            text += (
                " Before fine-tuning that is no better than guessing: are its folders called by the old head's class "
                "numbers, or all its classes there in their alphabetical order?"
            )
    return text


def failed_training_line(data: Json) -> str:
    """That fine-tuning taught the network nothing, and what to do; empty where it did, or where no rate is to blame."""
    training, rate = data.get("training"), data["recipe"].get("finetune", {}).get("learning_rate")
    if not training or rate is None or training["strategy"] == "feature-extraction":
        return ""
    counts = data["dataset"].get("counts", {}).get("train", {})
    return rate_verdict(data.get("history", []), list(counts.values()), rate) or ""


def cost_line(data: Json) -> str:
    """What all steps took, in sentences; empty where that was not noted."""
    cost = data.get("cost")
    if not cost:
        return ""
    hours = f"{cost['device_hours']:.3g} device-hours, {cost['device_hours_this_time']:.3g} of them now"
    text = f"All steps took {numbers.duration(cost['seconds'])} ({hours})"
    if cost["peak_rss_bytes"] is not None:
        text += f" and at most {numbers.size(cost['peak_rss_bytes'])} of memory"
    if cost["peak_gpu_bytes"] is not None:
        text += f", {numbers.size(cost['peak_gpu_bytes'])} of the GPU's"
    known = {kind: joules for kind, joules in cost["energy_joules"].items() if joules is not None}
    told = " and ".join(f"{joules / 3.6e6:.3g} kWh of the {kind}" for kind, joules in known.items())
    text += f". Energy: {told or 'unknown'}."
    if cost["money"] is not None:
        unit = f" {cost['currency']}" if cost["currency"] else ""
        text += f" Money: {cost['money']:.2f}{unit}, {cost['money_this_time']:.2f}{unit} of it now."
    return text


def cross_validation_line(data: Json) -> str:
    """What the folds say of the float network, in sentences; empty unless there are any."""
    found = data.get("cross_validation")
    if not found:
        return ""
    if found["mean"] is None:
        return f"The cross-validation came to no end: {found['reason']}."
    low, high = found["ci95"]
    return (
        f"Cross-validation in {len(found['folds'])} folds of training and validation data: the float network reaches "
        f"{numbers.percent(found['mean'])} on average (95 % interval {numbers.percent(low)} to "
        f"{numbers.percent(high)}), with a standard deviation of {100 * found['std']:.1f} points between folds. It "
        "tells what this recipe makes of such data. None of these networks ships, and no compressed one was judged so."
    )


def fold_rows(data: Json) -> list[tuple[str, str, str, str]]:
    """(fold, accuracy, samples held out, samples learned from) of each fold."""
    found = data.get("cross_validation") or {"folds": []}
    return [
        (str(row["fold"]), numbers.percent(row["accuracy"]), f"{row['samples']:,}", f"{row['trained_on']:,}")
        for row in found["folds"]
    ]


def pruning_rows(data: Json) -> list[tuple[str, ...]]:
    """(pruning, step, channels left, layers' time, accuracy after surgery, after training) of each step of pruning."""
    return [
        (
            row["pruning"],
            str(row["step"]),
            numbers.percent(row["channels_left"]) if "channels_left" in row else numbers.NONE,
            f"{row['layers_ms']:.3g} ms" if "layers_ms" in row else numbers.NONE,
            numbers.percent(row.get("val_accuracy_pruned", row.get("val_accuracy_sparse"))),
            numbers.percent(row["val_accuracy"]),
        )
        for row in data.get("pruning") or []
    ]


def calibration_line(target: Json) -> str:
    """What temperature scaling does to the probabilities of the chosen engine; empty where it was not fitted."""
    found = target.get("calibration")
    if not found:
        return ""
    return (
        f"On the device logits are divided by {found['temperature']:.2f} (fitted on validation): the calibration error "
        f"on the test split is then {numbers.percent(found['ece_calibrated'])}, "
        f"without it {numbers.percent(found['ece'])}."
    )


def chosen(target: Json) -> Json | None:
    """The candidate that is in the bundle."""
    return next((c for c in candidates(target) if c["name"] == target["chosen"]), None)


def rows(target: Json) -> list[Row]:
    """Every candidate of a target as text."""
    return [_row(candidate, target) for candidate in candidates(target)]


def pruning(c: Json) -> str:
    """How much of a candidate was pruned: none, 30 %, to 1.5x, to 2.5 ms."""
    if c["pruning_speedup"] is not None:
        return f"to {c['pruning_speedup']:g}x"
    if c.get("pruning_latency_ms") is not None:
        return f"to {c['pruning_latency_ms']:g} ms"
    return numbers.percent(c["pruning_ratio"], 0) if c["pruning_ratio"] else "none"


def _row(c: Json, target: Json) -> Row:
    metrics, latency, change = c["metrics"] or {}, c["latency_ms"], c["accuracy_change"]
    baseline = target["baseline"]
    role = "chosen" if c["name"] == target["chosen"] else "baseline" if c is baseline else ""
    return Row(
        name=c["name"],
        role=role,
        status=c["status"],
        reason=c["reason"] or "",
        precision=c["precision"],
        pruning=pruning(c),
        selection=numbers.percent((c["selection"] or {}).get("accuracy")),
        accuracy=numbers.percent(metrics.get("accuracy")),
        change=numbers.change(change),
        f1=numbers.percent(metrics.get("f1_macro")),
        ece=numbers.percent(metrics.get("ece")),
        p50=numbers.percentile(latency, 50),
        p90=numbers.percentile(latency, 90),
        p99=numbers.percentile(latency, 99),
        p95=numbers.percentile(latency, 95),
        p99_9=numbers.percentile(latency, 99.9),
        runs=f"{latency['n']:,}" if latency else numbers.NONE,
        speedup=numbers.speedup(c["speedup"]),
        size=numbers.size(c["size_bytes"]),
        memory=numbers.size(c["peak_rss_bytes"]),
        parameters=numbers.amount(c["parameters"]),
        macs=numbers.amount(c["macs"]),
        mcnemar_p=numbers.probability(change["mcnemar_p"] if change else None),
        negative_flips=str(change["negative_flips"]) if change else numbers.NONE,
        energy=numbers.energy(c.get("energy_joules")),
    )


def accuracy_bounds(target: Json) -> tuple[float, float] | None:
    """95 % interval of the shipped engine's accuracy on the test split, as fractions; None: its answers are unknown."""
    matrix = (target.get("confusion") or {}).get("matrix") or []
    n, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    return wilson_interval(right, n) if n else None


def accuracy_interval(target: Json) -> str:
    """``accuracy_bounds`` in percent: 96.2 to 99.4; empty where there are none."""
    bounds = accuracy_bounds(target)
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}" if bounds else ""


def epoch_rows(data: Json) -> list[tuple[str, ...]]:
    """(step, epoch, training loss, validation loss, validation accuracy) of each epoch of every training."""
    return [
        (
            str(row["step"]),
            str(row["epoch"]),
            *(numbers.NONE if row.get(key) is None else f"{row[key]:.3f}" for key in ("train_loss", "val_loss")),
            numbers.percent(row.get("val_accuracy")),
        )
        for row in data.get("history", [])
    ]


def closing_line(target: Json) -> str:
    """The one line per target that ends a build."""
    best = chosen(target)
    if target["status"] != "measured" or best is None or best["status"] != "measured":
        why = " ".join(target.get("reason", [])) or "no reason was recorded"
        return f"{target['target']}: {STATUS_WORDS[target['status']]}. {why}"
    parts = [f"accuracy {numbers.percent(best['metrics']['accuracy'])}"]
    if interval := accuracy_interval(target):
        parts[0] += f" ({interval})"
    if best["accuracy_change"]:
        parts[0] += f", change {numbers.change(best['accuracy_change'])} points"
    parts.append(f"median {numbers.milliseconds(best['latency_ms']['p50'])}")
    if best["speedup"]:
        parts.append(f"speed-up {numbers.speedup(best['speedup'])}")
    parts.append(numbers.size(best["size_bytes"]))
    return f"{target['target']}: {best['name']}; " + "; ".join(parts)


def rung_rows(target: Json) -> list[tuple[str, str, str, str, str, str]]:
    """(engine, accuracy and its change on validation, speed-up, time, verdict) of what the controller tried, in order;
    then (engine, ..., why not) of what it did not.
    """
    found = target.get("controller")
    if not found:
        return []
    tried = [
        (
            row["name"],
            numbers.percent(row["accuracy"]),
            numbers.points(None if row["drop_points"] is None else -row["drop_points"]),
            numbers.speedup(row["speedup"]),
            numbers.duration(3600 * row["hours"]),
            row["verdict"],
        )
        for row in found["rungs"]
    ]
    nothing = (numbers.NONE,) * 4
    left = groupby(found["not_tried"], key=lambda row: row["reason"])
    return tried + [(", ".join(row["name"] for row in rows), *nothing, f"not tried: {why}") for why, rows in left]


def trade_off_line(target: Json) -> str:
    """The engines that no other beats in both accuracy and speed, from accurate to fast; empty if float was alone."""
    by_name = {c["name"]: c for c in candidates(target) if c["status"] == "measured"}
    if len(by_name) < 2:
        return ""
    parts = []
    for name in target.get("trade_off", (target.get("controller") or {}).get("trade_off", ())):
        c = by_name[name]
        faster = "" if c["speedup"] is None else f" at {c['speedup']['value']:.2f}×"
        latency = numbers.milliseconds(c["latency_ms"]["p50"])
        parts.append(f"{name} {numbers.percent(c['selection']['accuracy'])}{faster} ({latency})")
    return f"Trade-off on validation: {', '.join(parts)}." if parts else ""


def failure_lines(target: Json) -> list[str]:
    """NAME failed: reason (what to do), one line for all candidates that failed alike."""
    failed: dict[str, list[str]] = {}
    for c in candidates(target):
        if c["status"] == "failed":
            failed.setdefault(_why(c), []).append(c["name"])
    return [f"{', '.join(names)} failed: {why}" for why, names in failed.items()]


def _why(c: Json) -> str:
    """Why a candidate was not measured, and what to do."""
    reason = c["reason"] or "no reason was recorded"
    return f"{reason} ({c['hint']})" if c.get("hint") else str(reason)


def calibrated_on_line(target: Json) -> str:
    """That INT8 ranges were found on few samples or on one class alone; empty where they were not."""
    found = target.get("calibrated_on")
    if not found:
        return ""
    samples, asked, one_class = found["samples"], found["asked"], found["classes"] == 1
    if samples >= max(asked, FEW_TO_CALIBRATE) and not one_class:
        return ""
    text = f"INT8 ranges come from {samples} training sample{'' if samples == 1 else 's'} of {asked} asked for"
    more = "add training data" if samples < asked else "raise `[quantize] calibration_samples`"
    return f"{text}{', all of one class' if one_class else ''}: they may not fit other data; {more}."


def noise_line(target: Json) -> str:
    """That the machine was noisy while the target was measured, and how; empty where it was quiet."""
    reasons = target.get("noise")
    if not reasons:
        return ""
    more = f"; and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    told = f"The machine was noisy while it measured ({'; '.join(reasons[:SHOWN_REASONS])}{more}): "
    if not intervals_hold(reasons):
        return f"{told}waits fall on long runs more than on short ones; ratios may be off by more than their intervals."
    return f"{told}the intervals allow for it, the medians do not."


def not_measured(data: Json) -> list[tuple[str, str]]:
    """(what, why) of every number that is missing on purpose."""
    found: list[tuple[str, str]] = []
    folds = data.get("cross_validation")
    if folds and folds["mean"] is None:
        found.append(("cross-validation", folds["reason"]))
    for target in data["targets"]:
        if target["status"] != "measured":
            reason = " ".join(target.get("reason", [])) or "no reason was recorded"
            found.append((f"{target['target']}: {STATUS_WORDS[target['status']]}", reason))
        for c in candidates(target):
            what = f"{target['target']} / {c['name']}"
            if c["status"] != "measured":
                found.append((f"{what}: {STATUS_WORDS[c['status']]}", _why(c)))
            elif c["latency_ms"]:
                told = {q: numbers.percentile(c["latency_ms"], q) for q in (90, 95, 99)}
                found += [(f"{what}: p{q}", value) for q, value in told.items() if value.startswith("n/a")]
            if c["status"] == "measured" and c.get("energy_joules", 0) is None and c["name"] == target["chosen"]:
                found.append((f"{target['target']}: energy of an inference", ENERGY_UNREADABLE))
        timed = [c["latency_ms"] for c in candidates(target) if c["status"] == "measured" and c["latency_ms"]]
        short = [numbers.percentile(latency, 99.9) for latency in timed if latency.get("p99_9", 0.0) is None]
        if short:  # most measurements are: once for all
            found.append((f"{target['target']}: p99.9 of {len(short)} of {len(timed)} engines", short[0]))
        found += _layers_not_measured(target)
    return found


def _layers_not_measured(target: Json) -> list[tuple[str, str]]:
    """Of a measured target, unless it is of before layers were looked at."""
    if target["status"] != "measured" or "layers" not in target:
        return []
    what, layers = f"{target['target']}: layer by layer", target["layers"]
    if layers is None:
        why = "this measurement came from trtexec, or from the store and from before operators were asked"
        return [(what, why)]
    found = [(what, reason) for reason in layers["missing"]]
    after = next((c for c in candidates(target) if c["name"] == layers["after"]), None)
    if after is not None and after["precision"] == "int8" and layers["sqnr_of"] is None:
        why = "its ranges are found while it runs, or it was quantized before this was looked at"
        found.append((f"{target['target']} / {after['name']}: rounding noise of each layer", why))
    return found


def dataset_rows(data: Json) -> list[tuple[str, str]]:
    """What the network was trained and judged on."""
    dataset = data["dataset"]
    result = [("classes", f"{len(labels)}")] if (labels := dataset.get("labels")) else []
    for split, counts in (dataset.get("counts") or {}).items():
        total = sum(counts.values()) if isinstance(counts, Mapping) else counts
        carved = " (carved from the training data)" if split in (dataset.get("carved") or []) else ""
        result.append((f"{split} samples", f"{total:,}{carved}"))
    if skipped := dataset.get("skipped"):
        result.append(("files skipped", f"{len(skipped):,}"))
    return result


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as (dotted key, text) rows."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple) and not any(isinstance(item, Mapping) for item in value):
        yield prefix, ", ".join(_scalar(item) for item in value) or "none"
    else:
        yield prefix, _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return numbers.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
