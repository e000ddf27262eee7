"""edgetune's own rows: ordinary builds by `edgetune build`, which take up the fine-tuned network from their store."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peers.jobs import fresh_folder, run_command
from benchmarks.peers.lines import recipe_lines
from edgetune import pipeline
from edgetune.api.building import make_build_plan
from edgetune.progress import Quiet
from edgetune.store import Store

TARGETS = {"x86-cpu": "onnxruntime", "intel-cpu": "openvino"}


def build(recipe: Path, target: str, store: Store, folder: Path, limit_seconds: float) -> dict[str, Any]:
    """One build in a fresh process: what it cost, and every engine it made as {candidate: file}."""
    fresh_folder(folder)
    command = [sys.executable, "-m", "edgetune", "build", str(recipe), "--target", target, "--json"]
    command += ["--run-dir", str(folder / "run"), "--cache-dir", str(store.root)]
    found = run_command(command, folder, limit_seconds=limit_seconds)
    found["failure"] = None if (folder / "run/report.json").exists() else found["failure"]  # 3: a gate failed
    found["lines"] = recipe_lines(recipe.read_text(encoding="utf-8"))
    found["engines"] = {}
    if found["failure"] is None:
        report = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
        found["chosen"] = report["targets"][0]["chosen"]
        found["engines"] = engines(recipe, target, store)
    return found


def engines(recipe: Path, target: str, store: Store) -> dict[str, str]:
    """Where the store has the engines of a build that is done."""
    plan, surroundings = make_build_plan(recipe, target)
    early = tuple(step for step in plan.steps if step.name not in ("measure", "select", "bundle"))
    outcomes = pipeline.run(replace(plan, steps=early), store, surroundings, Quiet())
    found = {}
    for candidate in plan.candidates:
        outcome = outcomes.get(candidate.compile_step or "")
        if outcome is not None and outcome.artifact is not None:
            found[candidate.name] = str(outcome.artifact.path / "engine/engine.onnx")
    return found
