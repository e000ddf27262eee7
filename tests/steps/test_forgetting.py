"""What is forgotten, told by the old head: little after feature extraction, and in every report."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_network import tiny

from edgetune import pipeline
from edgetune.api.building import make_build_plan
from edgetune.data.scan import scan
from edgetune.errors import DataError, RecipeError, WeightsError
from edgetune.progress import Quiet
from edgetune.steps.forgetting import class_numbers, old_classes
from edgetune.store import Store
from tests.conftest import write_images


def forgotten(project, finetune):
    torch.manual_seed(1)
    save_file(tiny(num_classes=5).state_dict(), project / "old.safetensors")
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("[data]\n", 'weights = "old.safetensors"\n[data]\n', 1)
    recipe.write_text(text.replace("epochs = 6\n", f'keep = "kept"\n{finetune}\n', 1))
    plan, surroundings = make_build_plan(recipe, None)
    steps = tuple(step for step in plan.steps if step.name in ("check_data", "finetune", "forgetting"))
    outcomes = pipeline.run(replace(plan, steps=steps, candidates=()), Store(project / "store"), surroundings, Quiet())
    return json.loads((outcomes["forgetting"].artifact.path / "forgetting.json").read_text())


@pytest.fixture
def kept(project):
    write_images(project / "kept", splits={"": 12}, seed=7)
    for number, name in enumerate(("blob", "cross", "stripes")):
        (project / "kept" / name).rename(project / "kept" / str(number + 1))
    return project


def test_a_frozen_backbone_forgets_nothing_and_a_trained_one_is_judged(kept):
    found = forgotten(kept, 'strategy = "feature-extraction"')
    assert found["before"] == found["after"] and found["change"]["value"] == 0
    assert found["samples"] == 36 and found["classes"] == 3


def test_a_backbone_that_learned_answers_otherwise(kept):
    found = forgotten(kept, "epochs = 3")
    assert found["change"]["negative_flips"] + found["change"]["positive_flips"] > 0
    assert found["after"] - found["before"] == pytest.approx(found["change"]["value"] / 100)


def test_classes_are_numbers_or_all_of_the_heads(tmp_path):
    write_images(tmp_path / "named", splits={"": 2})
    listing = scan(tmp_path / "named")
    assert class_numbers(listing, 3).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match="the old head has 10 classes"):
        class_numbers(listing, 10)
    for number, name in zip((7, 10, 2), ("blob", "cross", "stripes"), strict=True):
        (tmp_path / "named" / name).rename(tmp_path / "named" / str(number))
    listing = scan(tmp_path / "named")
    assert sorted(set(class_numbers(listing, 11).tolist())) == [2, 7, 10]
    assert np.bincount(class_numbers(listing, 11)).sum() == 6
    with pytest.raises(DataError):
        class_numbers(listing, 10)
    with pytest.raises(WeightsError, match="no head"):
        old_classes({"backbone": torch.zeros(3)}, frozenset({"head"}))


def test_a_network_that_starts_at_random_has_nothing_to_forget(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 6\n", 'keep = "shapes"\n', 1))
    if "pretrained = false" not in recipe.read_text():
        recipe.write_text(recipe.read_text().replace("[data]\n", "pretrained = false\n[data]\n", 1))
    with pytest.raises(RecipeError, match="starts at random"):
        make_build_plan(recipe, None)
