"""Quantizing as a step of a build: on how many samples it calibrates, and what it notes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgetune import pipeline
from edgetune.api.building import make_build_plan
from edgetune.progress import Quiet
from edgetune.store import Store


def notes(project: Path, asked: int) -> dict:
    """What quantizing the unpruned network noted on its calibration."""
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("epochs = 6\n", "epochs = 1\n").replace("ratio = [0.0, 0.5]", "ratio = []")
    recipe.write_text(text.replace('mode = "ptq"', f'mode = "ptq"\ncalibration_samples = {asked}'))
    plan, surroundings = make_build_plan(recipe, None)
    plan = replace(plan, steps=tuple(s for s in plan.steps if s.name in ("check_data", "finetune", "quantize")))
    outcomes = pipeline.run(replace(plan, candidates=()), Store(project / "store"), surroundings, Quiet())
    (quantized,) = (found for found in outcomes.values() if found.step.name == "quantize")
    return json.loads((quantized.artifact.path / "notes/calibration.json").read_text())


@pytest.mark.parametrize(("asked", "taken"), [(1, 1), (100, 72)])
def test_it_calibrates_on_as_many_samples_as_were_asked_for_and_there_are(project, asked, taken):
    assert notes(project, asked) == {"samples": taken, "asked": asked, "classes": min(taken, 3)}
