"""A run's folder, read back: its report, its predictions and its raw latencies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.compare.predictions import FOLDER, HINT, Predictions, read_predictions
from edgetune.errors import InputError, ReportError
from edgetune.report.validate import validate
from edgetune.report.view import candidates

SCHEMA = "edgetune.report/1"
A_RUN = "give a folder that `edgetune build` wrote, such as runs/2026-11-21T07-19-23"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What two runs are compared by; by target: ``predictions`` and raw ``latency``, where the folder has them."""

    folder: Path
    name: str
    report: Mapping[str, Any]
    predictions: Mapping[str, Predictions]
    latency: Mapping[str, Mapping[str, Any]]

    def target(self, name: str) -> Mapping[str, Any] | None:
        """The report's entry of a target."""
        return next((target for target in self.report["targets"] if target["target"] == name), None)


def read_run(folder: Path) -> Run:
    """Read the folder of a run; messages name it as it was given.

    Raises:
        InputError: no run, a report that cannot be read or is of another schema, files that contradict the report.
    """
    path = folder / "report.json"
    if not folder.exists():
        raise InputError(f"there is no folder {folder}", hint=A_RUN)
    if not path.exists() or path.is_fifo():
        raise InputError(f"{folder} is no run of edgetune: it has no report.json", hint=_what_then(folder))
    report = _read(path, f"{folder}/report.json")
    schema = report.get("schema") if isinstance(report, dict) else None
    if not str(schema).startswith("edgetune.report/"):
        raise InputError(f"{folder}/report.json is no report of edgetune's", hint=A_RUN)
    if schema != SCHEMA:
        raise InputError(
            f"{folder}/report.json is of schema {str(schema)[:60]}; this edgetune reads {SCHEMA}",
            hint="build both with the same edgetune: a build with everything cached takes a second",
        )
    try:
        validate(report)
    except (ReportError, KeyError, TypeError) as error:
        told = error.message if isinstance(error, ReportError) else repr(error)
        raise InputError(f"{folder}/report.json does not follow its schema: {told}", hint=HINT) from error
    run = Run(
        folder=folder,
        name=str(report.get("run") or folder.absolute().name),
        report=report,
        predictions=_predictions(folder, report),
        latency=_latency(folder, report),
    )
    _check_predictions(run)
    return run


def _what_then(folder: Path) -> str:
    if (folder / "manifest.json").is_file() or folder.suffix == ".tar":
        return "this looks like a bundle: give the run it lies in; `edgetune bench` compares bundles"
    if any(folder.glob("*/report.json")):
        return f"the runs are the folders in it: {folder}/{next(folder.glob('*/report.json')).parent.name}"
    return A_RUN


def _predictions(folder: Path, report: Mapping[str, Any]) -> dict[str, Predictions]:
    found = {}
    for target in report["targets"]:
        name = f"{FOLDER}/{target['target']}.json"
        if (folder / name).exists():
            found[target["target"]] = read_predictions(folder / name, f"{folder}/{name}")
    return found


def _latency(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for target in report["targets"]:
        name = f"measurements/{target['target']}.json"
        if not (folder / name).exists():
            continue
        content = _read(folder / name, f"{folder}/{name}")
        if not isinstance(content, dict) or not isinstance(content.get("engines"), dict):
            raise InputError(f"{folder}/{name} holds no latencies; it is damaged", hint=HINT)
        found[target["target"]] = content
    return found


def _read(path: Path, shown: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror}", hint="check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown} is not JSON; it is damaged", hint=HINT) from error


def _check_predictions(run: Run) -> None:
    """The answers in the folder must be those the report's accuracies are of."""
    for name, found in run.predictions.items():
        entry = run.target(name)
        assert entry is not None  # they were looked for by it
        if list(found.labels) != run.report["dataset"].get("labels", list(found.labels)):
            raise InputError(f"{run.folder}/{FOLDER}/{name}.json has other classes than the report", hint=HINT)
        for candidate in candidates(entry):
            answers = found.engines.get(candidate["name"])
            if answers is None or candidate["metrics"] is None:
                continue
            share = float(np.mean(answers.answer == found.truth))
            if abs(share - candidate["metrics"]["accuracy"]) > 1e-9:
                raise InputError(
                    f"{run.folder}/{FOLDER}/{name}.json is not of this report: {candidate['name']} is right on "
                    f"{share:.1%} there and on {candidate['metrics']['accuracy']:.1%} in the report",
                    hint=HINT,
                )
