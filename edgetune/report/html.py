"""The report as one HTML file that needs no network: styles, script, data and plotting library inside."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgetune.measure.floors import query_floor
from edgetune.report import findings, gate_words, layer_words, machine, numbers, view

MAX_CLASSES_DRAWN = 40  # a larger matrix is told by its worst confusions
WORST = 25
MAX_BYTES = 5_000_000
MOST_SAMPLES = 24


def render_html(data: view.Json) -> str:
    """The whole report as HTML, below ``MAX_BYTES``: what does not fit of pictures and texts is left out.

    Everything from the user is escaped; JSON is safe inside <script>.
    """
    most = MOST_SAMPLES
    while True:
        page = _render(_with_at_most(data, most))
        if len(page.encode()) < MAX_BYTES or most == 0:
            return page
        most //= 2


def _with_at_most(data: view.Json, most: int) -> view.Json:
    """The report with so many flips of each kind and target, doubted labels and pictures of a finding."""
    targets = [
        {**target, "flips": {**flips, "shown": [one for kind in _by_kind(flips["shown"]) for one in kind[:most]]}}
        if (flips := target.get("flips"))
        else target
        for target in data["targets"]
    ]
    doubted, seen = data.get("label_errors") or [], data.get("data_examples") or []
    return {**data, "targets": targets, "label_errors": doubted[: 2 * most], "data_examples": seen[: 4 * most]}


def _by_kind(shown: list[Any]) -> list[list[Any]]:
    return [[one for one in shown if one["kind"] == kind] for kind in ("negative", "positive")]


def _render(data: view.Json) -> str:
    return (
        _environment()
        .get_template("report.html")
        .render(
            data=data,
            view=view,
            findings=findings,
            layer_words=layer_words,
            machine=machine,
            numbers=numbers,
            targets=[_target(data, target) for target in data["targets"]],
            plots=json_for_script(_plots(data)),
            **plotting(),
            numbered_steps=list(enumerate(data.get("steps") or [], start=1)),
        )
    )


def json_for_script(value: Any) -> Markup:
    """JSON that cannot end a <script> element or begin a comment in it, whatever strings it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    """Of the templates; what comes from the user is escaped."""
    return Environment(
        loader=PackageLoader("edgetune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, **content: Any) -> str:
    """Another page of this room's templates and styles; what is put into it is escaped."""
    return _environment().get_template(template).render(**content)


def plotting() -> dict[str, Markup]:
    """The plotting library and its licence, for a template to embed."""
    return {
        "plotly": Markup(_static("plotly-cartesian.min.js")),
        "plotly_license": Markup(_static("plotly-LICENSE.txt").replace("*/", "")),
    }


@cache
def _static(name: str) -> str:
    text: str = resources.files("edgetune.report").joinpath("static", name).read_text(encoding="utf-8")
    return text


def _target(data: view.Json, target: view.Json) -> dict[str, Any]:
    """What the template shows of one target."""
    best, rows = view.chosen(target), view.rows(target)
    return {
        "target": target,
        "best": best if best is not None and best["status"] == "measured" else None,
        "rows": rows,
        "precisions": list(dict.fromkeys(row.precision for row in rows if row.status == "measured")),
        "precisions_tried": list(dict.fromkeys(row.precision for row in rows)),
        "some_pruned": len({row.pruning == "none" for row in rows}) == 2,
        "remarks": any(row.reason for row in rows),
        "gates": gate_words.gate_lines(data, target["target"]),
        "failures": gate_words.failures(data, target["target"]),
        "confusion": _confusion(target.get("confusion")),
        "flips": _flips(target),
        "layer_rows": layer_words.layer_rows(target),
        "classes": sorted((best or {}).get("per_class_change") or [], key=lambda row: row["value"]),
    }


def _flips(target: view.Json) -> list[dict[str, Any]]:
    """Samples that became wrong, then those that became right, with how many of them there are in all."""
    found = target.get("flips")
    if not found:
        return []
    return [
        {"heading": heading, "total": found[kind], "cards": [row for row in found["shown"] if row["kind"] == kind]}
        for kind, heading in (("negative", "Became wrong"), ("positive", "Became right"))
        if found[kind]
    ]


def _confusion(confusion: view.Json | None) -> dict[str, Any] | None:
    """Rows of (label, cells of (count, share of the row)), or the worst confusions of a large matrix."""
    if confusion is None:
        return None
    labels, matrix = confusion["labels"], confusion["matrix"]
    mistakes = [
        (count, count / max(sum(row), 1), labels[i], labels[j])
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    worst = sorted(mistakes, key=lambda m: (-m[0], -m[1]))[:WORST]
    if len(labels) > MAX_CLASSES_DRAWN:
        return {"labels": labels, "rows": [], "worst": worst}
    totals = [max(sum(row), 1) for row in matrix]
    rows = [
        (label, [(count, count / total) for count in row])
        for label, row, total in zip(labels, matrix, totals, strict=True)
    ]
    return {"labels": labels, "rows": rows, "worst": worst[:3]}


def _plots(data: view.Json) -> dict[str, Any]:
    """Only what the figures need."""
    return {
        "targets": [_target_plots(data, target) for target in data["targets"]],
        "history": data.get("history", []),
        "pruning": data.get("pruning", []),
    }


def _target_plots(data: view.Json, target: view.Json) -> dict[str, Any]:
    baseline = target["baseline"]
    limits = {gate["name"]: gate["limit"] for gate in data["gates"] if gate["target"] == target["target"]}
    drop, floor = limits.get("max_accuracy_drop"), None
    if drop is not None and baseline is not None and baseline["metrics"]:
        floor = baseline["metrics"]["accuracy"] - drop / 100
    candidates = [
        (c, row) for c, row in zip(view.candidates(target), view.rows(target), strict=True) if c["status"] == "measured"
    ]
    return {
        "accuracy_floor": floor,
        "accuracy_drop": drop,
        "latency_limit": limits.get("max_latency_ms"),
        "points": [_point(c, row) for c, row in candidates],
        "layers": target.get("layers"),
        "precisions": {c["name"]: c["precision"] for c in view.candidates(target)},
    }


def percentile_curve(latency: view.Json) -> dict[str, Any] | None:
    """The percentile curve, and the place from which on there are too few runs to quote it."""
    points = latency.get("curve")
    if not points:
        return None
    quoted = [x for x, _ in points if latency["n"] >= query_floor(100 * (1 - 1 / x))]
    return {"points": points, "quoted": max(quoted)}


def _point(c: view.Json, row: view.Row) -> dict[str, Any]:
    return {
        "name": c["name"],
        "role": row.role,
        "precision": c["precision"],
        "pruned": row.pruning != "none",
        "accuracy": c["metrics"]["accuracy"],
        "latency": c["latency_ms"]["p50"],
        "bytes": c["size_bytes"],
        "runs": c["latency_ms"]["n"],
        "histogram": c["latency_ms"].get("histogram"),
        "curve": percentile_curve(c["latency_ms"]),
        "hover": [
            ("accuracy", row.accuracy),
            ("change", f"{row.change} points" if c["accuracy_change"] else "baseline"),
            ("median", row.p50),
            ("speed-up", row.speedup),
            ("size", row.size),
        ],
    }
