"""Put the content of ``report.json`` together from what the steps left; computes nothing."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune import __version__
from edgetune.data.licence import find_licence
from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.measure.selection import unmeasured
from edgetune.plan.as_data import recipe_as_data
from edgetune.plan.candidates import describe
from edgetune.recipe import DEFAULT_NAME
from edgetune.records import Artifact, Candidate, DataFinding, Plan, Target
from edgetune.report.findings import picture_rows
from edgetune.report.layers import QUANTIZERS, target_layers
from edgetune.spending import total


def assemble(
    plan: Plan,
    artifacts: Mapping[str, Artifact],
    reasons: Mapping[str, str],
    steps: list[dict[str, Any]],
    environment: Mapping[str, Any],
    *,
    recipe_name: str,
    run: str,
    journals: Mapping[str, Mapping[str, Any]] | None = None,
    hints: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The report of a build as plain data.

    Args:
        artifacts: {step id: artifact} of the steps that came to an end.
        reasons: {step id: why there is no artifact} of the others.
        steps: what was done, in order: name, title, seconds, cached.
        journals: {target: what the controller tried there, and why it ended}.
        hints: {step id: what to do} of those steps without an artifact whose error said so.
        recipe_name, run: the recipe's file and the run's folder, for commands to go on with.
    """
    entries, gates = [], []
    for target in plan.targets:
        selected = artifacts.get(f"select:{target.name}")
        if selected is not None:
            found = _read(selected.path / "target.json")
            entry = _with_journal(_with_reasons(found["entry"], plan, reasons, hints or {}), journals or {})
            layers = target_layers(entry, plan, artifacts)
            entries.append({**entry, **_calibrated_on(target, plan, artifacts), "layers": layers})
            gates += found["gates"]
        else:
            entry = _with_reasons(_prepared(target, plan, artifacts, reasons), plan, reasons, hints or {})
            entries.append({**entry, **_calibrated_on(target, plan, artifacts)})
    dataset = _read(artifacts["check-data"].path / "dataset.json")
    names = " ".join(f"--target {target.name}" for target in plan.targets)
    sample = "TEXT" if plan.recipe.reads_text else "IMAGE"
    named = "" if recipe_name == DEFAULT_NAME else f" {recipe_name}"
    next_commands = [f"edgetune build{named} {names}", f"edgetune report {run} --open"]
    next_commands += [f"edgetune-run {run}/{entry['bundle']}.tar {sample}" for entry in entries if entry["bundle"]]
    next_commands += [f"edgetune diagnose{named} --target {name}" for name in _collapsed(entries, plan)]
    return {
        "schema": "edgetune.report/1",
        "edgetune": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "recipe": recipe_as_data(plan.recipe),
        "dataset": {
            "labels": dataset["labels"],
            "counts": dataset["counts"],
            "carved": dataset["carved"],
            "skipped": dataset["skipped"],
            "licence": _licence(plan),
        },
        "environment": dict(environment),
        "targets": entries,
        "gates": gates,
        "steps": steps,
        "cost": total(steps, plan.recipe.cost.per_hour, plan.recipe.cost.currency),
        "history": _history(plan, artifacts),
        **_pruning(plan, artifacts),
        **_training(artifacts),
        **_forgetting(artifacts),
        **_cross_validation(plan, artifacts, reasons),
        **_findings(artifacts),
        "next_commands": next_commands,
        **_label_errors(artifacts),
    }


def _licence(plan: Plan) -> dict[str, Any]:
    """Files beside the data that may hold its licence, and which it is by SPDX where that is known."""
    found = find_licence(plan.recipe.base / plan.recipe.data.path)
    return {"files": list(found.files), "spdx": found.spdx}


def _collapsed(entries: list[dict[str, Any]], plan: Plan) -> list[str]:
    """Targets whose unpruned INT8 engine is further below float than the budget allows."""
    drop = plan.recipe.budget.max_accuracy_drop
    return [
        entry["target"]
        for entry in entries
        for candidate in entry["candidates"]
        if candidate["name"] == "int8"
        and candidate.get("accuracy_change")
        and candidate["accuracy_change"]["value"] < -drop / 100
    ]


def _with_reasons(
    entry: dict[str, Any], plan: Plan, reasons: Mapping[str, str], hints: Mapping[str, str]
) -> dict[str, Any]:
    """Failed candidates get the message of the step that failed, and its hint."""
    for candidate in entry["candidates"]:
        if candidate["status"] == "failed":
            of_plan = next(c for c in plan.candidates if c.target == entry["target"] and c.name == candidate["name"])
            candidate["reason"] = _first(of_plan, reasons) or candidate["reason"]
            if hint := _first(of_plan, hints):
                candidate["hint"] = hint
    return entry


def _with_journal(entry: dict[str, Any], journals: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the controller tried; how it went is one more of the reasons for the choice."""
    if (journal := journals.get(entry["target"])) is None:
        return entry
    first, last = " ".join(entry["reason"][:-1]), entry["reason"][-1]
    reasons = [sentence for sentence in (first, last, journal["summary"]) if sentence]
    return {**entry, "reason": reasons, "controller": dict(journal)}


def _calibrated_on(target: Target, plan: Plan, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """On how many samples the ranges of INT8 were found; nothing where none were, or before that was noted."""
    if not any(one.target == target.name and one.precision == "int8" for one in plan.candidates):
        return {}
    for artifact in (artifacts[step.id] for step in plan.steps if step.name in QUANTIZERS and step.id in artifacts):
        if (path := artifact.path / "notes" / "calibration.json").exists():  # the same samples for all
            return {"calibrated_on": _read(path)}
    return {}


def _first(candidate: Candidate, of_steps: Mapping[str, str]) -> str | None:
    """What there is of the first of the candidate's steps."""
    ids = (candidate.network_step, candidate.onnx_step, candidate.compile_step, candidate.evaluate_step)
    return next((of_steps[step_id] for step_id in ids if step_id is not None and step_id in of_steps), None)


def _prepared(
    target: Target, plan: Plan, artifacts: Mapping[str, Artifact], reasons: Mapping[str, str]
) -> dict[str, Any]:
    """A target whose engines cannot run here: what is there, and why there are no numbers."""
    why = plan.facts.unavailable[target.name] or "not measured"
    validation = _validation(target, artifacts)
    candidates = []
    for candidate in plan.candidates:
        if candidate.target != target.name:
            continue
        plain = describe(candidate)
        failed = _first(candidate, reasons)
        candidates.append(unmeasured(plain, "failed" if failed else "prepared", failed or why))
    return {
        "target": target.name,
        "status": "prepared",
        "device": None,
        "baseline": candidates[0],
        "candidates": candidates,
        "chosen": None,
        "reason": [
            f"Prepared, not compiled: {why}.",
            f"The ONNX files under prepared/{target.name} are what the device compiles"
            + (" (sh build_on_device.sh)" if validation else "")
            + "; none of them was timed.",
            *_unpruned(target, plan),
            *([_validated(validation)] if validation else []),
        ],
        "confusion": None,
        "bundle": None,
        "validation": validation,
    }


def _unpruned(target: Target, plan: Plan) -> list[str]:
    """A sentence where a recipe asks for prunings by speed, which take the target's layers timed."""
    recipe, library = plan.recipe, INFERENCE_LIBRARIES[target.backend]
    asked = [name for name in ("target_speedup", "target_latency_ms") if getattr(recipe.prune, name)]
    usual = recipe.reads_text and recipe.prune.target_speedup is None  # encoders are pruned by speed alone
    if not asked and not usual:
        return []
    ways = [] if recipe.reads_text else ["say by how much in `ratio`"]
    ways += ["build with `--device`, which times them there"] if library.times_layers and library.over_ssh else []
    key = asked[0] if asked else "target_speedup"
    told = f"`[prune] {key}` takes layers timed on the target, so nothing was pruned by it here"
    return [f"{told}: {', or '.join(ways)}." if ways else f"{told}."]


def _validation(target: Target, artifacts: Mapping[str, Artifact]) -> dict[str, Any] | None:
    """What came of holding the files against TensorRT's rules; None: they were not."""
    artifact = artifacts.get(f"validate:{target.name}")
    if artifact is None:
        return None
    content = _read(artifact.path / "validation.json")
    found = {name: [finding["severity"] for finding in findings] for name, findings in content["findings"].items()}
    return {
        "tensorrt": content["tensorrt"],
        "files": len(found),
        "refused": [name for name, severities in found.items() if "error" in severities],
        "warnings": sum(severities.count("warning") for severities in found.values()),
        "path": f"prepared/{target.name}/validation.json",
    }


def _validated(validation: Mapping[str, Any]) -> str:
    """The same in one sentence."""
    told = f"the rules of TensorRT {validation['tensorrt']}'s parser"
    more = f", with {validation['warnings']} warnings" if validation["warnings"] else ""
    if validation["refused"]:
        return f"{', '.join(validation['refused'])} would be refused by {told}{more} (validation.json)."
    return f"All {validation['files']} keep {told}{more} (validation.json)."


def _history(plan: Plan, artifacts: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    curves = []
    for step in plan.steps:
        if step.name in ("finetune", "prune") and step.id in artifacts:
            keys = ("epoch", "train_loss", "val_loss", "val_accuracy")
            for number, row in enumerate(_read(artifacts[step.id].path / "notes" / "training.json")["history"], 1):
                name = _short(step.id)
                curves.append({"step": name, **{key: row[key] for key in keys}, "epoch": number})
    return curves


def _pruning(plan: Plan, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """What each step of pruning left; nothing for results of before that was noted."""
    rows = []
    for step in plan.steps:
        if step.name in ("prune", "prune_encoder") and step.id in artifacts:
            path = artifacts[step.id].path / "notes" / "pruning.json"
            found = _read(path)["steps"] if path.exists() else []
            rows += [{"pruning": _short(step.id), **row} for row in found]
    return {"pruning": rows} if rows else {}


def _short(step_id: str) -> str:
    """prune-30-by-8 -> prune-30."""
    return step_id.partition("-by-")[0].partition("-for-")[0]


def _training(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """How the network was fine-tuned; nothing for results of before that was noted."""
    notes = _read(artifacts["finetune"].path / "notes" / "training.json")
    if "reason" not in notes:
        return {}
    keys = ("strategy", "reason", "best_epoch", "stopped_early", "micro_batch")
    return {"training": {**{key: notes[key] for key in keys}, "retried": notes.get("retried", False)}}


def _forgetting(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """What the backbone still knows; nothing unless the recipe asked for it."""
    if "forgetting" not in artifacts:
        return {}
    return {"forgetting": _read(artifacts["forgetting"].path / "forgetting.json")}


def _cross_validation(plan: Plan, artifacts: Mapping[str, Artifact], reasons: Mapping[str, str]) -> dict[str, Any]:
    """What came of the folds; nothing unless the recipe asked for them."""
    if not plan.recipe.data.folds:
        return {}
    if "cross-validate" not in artifacts:
        nothing = dict.fromkeys(("mean", "std", "ci95"))
        return {"cross_validation": {**nothing, "folds": [], "reason": reasons.get("cross-validate", "not run")}}
    found = _read(artifacts["cross-validate"].path / "cross_validation.json")
    return {"cross_validation": {**found, "reason": None}}


def _findings(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """In words, and which pictures they are about."""
    found = _read(artifacts["check-data"].path / "notes" / "findings.json")
    if "check-labels" in artifacts:
        found += _read(artifacts["check-labels"].path / "label_errors.json")["findings"]
    findings = [DataFinding.from_json(content) for content in found]
    return {
        "data_findings": [str(finding) for finding in findings],
        "data_examples": picture_rows(findings),
    }


def _label_errors(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """The labels to doubt, with what the samples look like; nothing unless the recipe asked for it."""
    if "check-labels" not in artifacts:
        return {}
    return {"label_errors": _read(artifacts["check-labels"].path / "label_errors.json")["suspects"]}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
