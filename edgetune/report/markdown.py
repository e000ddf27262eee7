"""The report as Markdown, for pull requests and model cards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgetune.report import gate_words, numbers, view

# Characters that mean something to Markdown or to the HTML inside it.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~]|&(?=#?\w+;))")
MAX_CLASSES = 12  # whose confusions are shown whole
COLUMNS = ("candidate", "accuracy", "change, points", "median", "p90", "p99", "speed-up", "size", "memory")


def render_markdown(data: view.Json) -> str:
    """The whole report as GitHub-flavoured Markdown."""
    parts = [f"# {escape(view.heading(data))}", _head(data)]
    parts += [_target(data, target) for target in data["targets"]]
    parts += [
        _training(data),
        _pruning(data),
        _cross_validation(data),
        _data(data),
        _missing(data),
        _steps(data),
        _environment(data),
        _again(data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(value: object) -> str:
    """Text that Markdown prints as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric_from: int = 1) -> str:
    """A table whose columns from ``numeric_from`` on are right-aligned; cells must be escaped."""
    rule = ["---" if i < numeric_from else "---:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _head(data: view.Json) -> str:
    lines = [f"- {_closing(data, target)}" for target in data["targets"]]
    origin = f"edgetune {escape(data['edgetune'])}"
    if data.get("run"):
        origin += f", run {escape(data['run'])}"
    if data.get("created"):
        origin += f", {escape(data['created'])}"
    return "\n".join([*lines, "", origin])


def _closing(data: view.Json, target: view.Json) -> str:
    """What ships; that it fails a gate comes first."""
    line, failed = view.closing_line(target), gate_words.failures(data, target["target"])
    if not failed:
        return escape(line)
    name = f"{target['target']}: "
    return f"{escape(name)} **gate failed** ({escape('; '.join(failed))}): {escape(line.removeprefix(name))}"


def _target(data: view.Json, target: view.Json) -> str:
    parts = [f"## {escape(target['target'])}", f"Status: {view.STATUS_WORDS[target['status']]}."]
    if target.get("reason"):
        parts.append(escape(" ".join(target["reason"])))
    if few := view.calibrated_on_line(target):
        parts.append(escape(few))
    if noise := view.noise_line(target):
        parts.append(escape(noise))
    parts += [escape(line) for line in target.get("builder", ())]
    if gates := gate_words.gate_lines(data, target["target"]):
        parts.append("\n".join(f"- {'passed' if gate.passed else '**failed**'}: {escape(gate.text)}" for gate in gates))
    if rows := view.rows(target):
        parts.append(table(COLUMNS, [_candidate(row) for row in rows]))
        parts.append(
            "Accuracy is that of the compiled engine on the test split; the choice was made on the validation "
            "split. Change and speed-up are against the baseline, with 95 % intervals."
        )
    if rungs := view.rung_rows(target):
        header = ("engine", "validation", "change, points", "speed-up", "time", "verdict")
        shown = [(name, *cells, verdict) for name, *cells, verdict in rungs]
        parts += [
            "What the controller tried, in order:",
            table(header, [tuple(escape(cell) for cell in row) for row in shown]),
        ]
    if line := view.trade_off_line(target):
        parts.append(escape(line))
    if classes := target.get("per_class"):
        parts += [f"{escape(target['chosen'])} class by class, on the test split:", _classes(classes)]
    if confusion := target.get("confusion"):
        parts += [text] if (text := _confusion(confusion)) else []
    if calibrated := view.calibration_line(target):
        parts.append(escape(calibrated))
    if target.get("bundle"):
        parts.append(f"Bundle: {escape(target['bundle'])}")
    return "\n\n".join(parts)


def _classes(classes: Sequence[view.Json]) -> str:
    rows = [
        (
            escape(row["label"]),
            str(row["support"]),
            *(numbers.percent(row[key]) for key in ("precision", "recall", "f1")),
            numbers.NONE if row.get("roc_auc") is None else f"{row['roc_auc']:.3f}",
        )
        for row in classes
    ]
    return table(("class", "samples", "precision", "recall", "F1", "ROC-AUC"), rows)


def _candidate(row: view.Row) -> list[str]:
    name = f"**{escape(row.name)}** (chosen)" if row.role == "chosen" else escape(row.name)
    if row.role == "baseline":
        name += " (baseline)"
    median = row.p50 if row.status == "measured" else row.status
    return [name, row.accuracy, row.change, median, row.p90, row.p99, row.speedup, row.size, row.memory]


def _confusion(confusion: view.Json) -> str:
    """The matrix, or of many classes the pairs that are confused most."""
    labels, matrix = [escape(label) for label in confusion["labels"]], confusion["matrix"]
    if len(labels) <= MAX_CLASSES:
        rows = [(label, *map(str, row)) for label, row in zip(labels, matrix, strict=True)]
        return "Test samples, true class by row, answer by column:\n\n" + table(("", *labels), rows)
    pairs = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    worst = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:MAX_CLASSES]
    if not worst:
        return ""
    rows = [(labels[i], labels[j], str(n)) for n, i, j in worst]
    return "What was confused most on the test split:\n\n" + table(
        ("true class", "answer", "samples"), rows, numeric_from=2
    )


def _training(data: view.Json) -> str:
    text, rows = view.training_line(data), view.epoch_rows(data)
    parts = [escape(text)] if text else []
    if rows:
        header = ("step", "epoch", "training loss", "validation loss", "validation accuracy")
        shown = [tuple(escape(cell) for cell in row) for row in rows]
        parts.append(f"<details><summary>Epoch by epoch</summary>\n\n{table(header, shown)}\n\n</details>")
    return "\n\n".join(["## Training", *parts]) if parts else ""


def _pruning(data: view.Json) -> str:
    rows = view.pruning_rows(data)
    columns = ("pruning", "step", "channels left", "layers", "accuracy, pruned", "accuracy, trained")
    return "## Pruning, step by step\n\n" + table(columns, rows) if rows else ""


def _cross_validation(data: view.Json) -> str:
    text = view.cross_validation_line(data)
    if not text:
        return ""
    rows = view.fold_rows(data)
    shown = [table(("fold", "accuracy", "held out", "learned from"), rows)] if rows else []
    return "\n\n".join(["## Cross-validation", escape(text), *shown])


def _data(data: view.Json) -> str:
    rows = [(escape(key), escape(text)) for key, text in view.dataset_rows(data)]
    parts = ["## Data", table(("", "count"), rows)] if rows else []
    if findings := data.get("data_findings"):
        parts.append("\n".join(f"- {escape(text)}" for text in findings))
    return "\n\n".join(parts)


def _missing(data: view.Json) -> str:
    rows = [(escape(what), escape(why)) for what, why in view.not_measured(data)]
    return "## Not measured\n\n" + table(("what", "why"), rows, numeric_from=2) if rows else ""


def _steps(data: view.Json) -> str:
    rows = [
        (escape(step["title"]), numbers.duration(step["seconds"]), "from the store" if step["cached"] else "run")
        for step in data.get("steps") or []
    ]
    told = [escape(line)] if (line := view.cost_line(data)) else []
    return "\n\n".join(["## Steps", *told, table(("step", "time", ""), rows)]) if rows else ""


def _environment(data: view.Json) -> str:
    rows = [(escape(key), escape(text)) for key, text in view.flatten(data["environment"])]
    for target in data["targets"]:
        device = view.flatten(target.get("device") or {}, target["target"])
        rows += [(escape(key), escape(text)) for key, text in device if text != numbers.NONE]
    return "## Environment\n\n" + table(("", ""), rows, numeric_from=2)


def _again(data: view.Json) -> str:
    commands = data.get("next_commands") or []
    # Indented code takes any text as it is, a fence of backticks does not.
    return "## Run it again\n\n" + "\n".join(f"    {' '.join(c.split())}" for c in commands) if commands else ""
