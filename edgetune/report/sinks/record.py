"""A run as plain parameters, metrics and curves, which is what trackers of experiments know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNUSUAL = re.compile(r"[^\w.\- /]")  # of names; trackers take these
CURVES = ("train_loss", "val_loss", "val_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a sink gets: units are in the names, accuracies are fractions."""

    name: str  # of the run
    parameters: Mapping[str, str]  # section.key of the recipe -> value
    metrics: Mapping[str, float]  # target/candidate/metric -> value
    curves: Mapping[str, tuple[tuple[int, float], ...]]  # training/metric -> (epoch, value)
    tags: Mapping[str, str]
    files: tuple[Path, ...]  # the report's own forms


def record_of(report: Mapping[str, Any], folder: Path) -> Record:
    """The record of a run from its ``report.json`` and the folder it lies in."""
    files = (folder / name for name in ("report.html", "report.md", "report.json"))
    chosen = {f"chosen.{target['target']}": str(target["chosen"]) for target in report["targets"]}
    return Record(
        name=str(report.get("run") or folder.name),
        parameters=dict(_parameters(report["recipe"])),
        metrics=dict(_metrics(report)),
        curves=_curves(report.get("history") or ()),
        tags={"edgetune": str(report["edgetune"]), **chosen},
        files=tuple(path for path in files if path.is_file()),
    )


def _parameters(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, keys in recipe.items():
        if not isinstance(keys, Mapping):
            yield section, str(keys)
            continue
        for key, value in keys.items():
            yield f"{section}.{key}", value if isinstance(value, str) else json.dumps(value)


def _metrics(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers that were measured; what is null was not, and is left out."""
    for target in report["targets"]:
        baseline = [] if target["baseline"] is None else [target["baseline"]]
        for candidate in [*baseline, *target["candidates"]]:
            place = UNUSUAL.sub("_", f"{target['target']}/{candidate['name']}")
            for name, value in _numbers(candidate):
                if value is not None:
                    yield f"{place}/{name}", float(value)


def _numbers(candidate: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    change, speedup = candidate.get("accuracy_change"), candidate.get("speedup")
    yield from (candidate.get("metrics") or {}).items()
    if candidate.get("selection"):
        yield "selection_accuracy", candidate["selection"]["accuracy"]
    for name, value in (candidate.get("latency_ms") or {}).items():
        if name in ("p50", "p90", "p95", "p99", "p99_9"):
            yield f"latency_ms_{name}", value
    for name, interval in (("accuracy_change_points", change), ("speedup", speedup)):
        if interval:
            yield name, interval["value"]
            yield f"{name}_low", interval["ci95"][0]
            yield f"{name}_high", interval["ci95"][1]
    yield from ((name, candidate.get(name)) for name in ("size_bytes", "peak_rss_bytes", "parameters", "macs"))


def _curves(history: Any) -> dict[str, tuple[tuple[int, float], ...]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for row in history:
        for name in CURVES:
            if row.get(name) is not None:
                curve = UNUSUAL.sub("_", f"{row['step']}/{name}")
                found.setdefault(curve, []).append((int(row["epoch"]), float(row[name])))
    return {name: tuple(points) for name, points in found.items()}
