"""Costs told by ``plan``: of like steps on the same data, of other data only with a word, of timed batches."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from edgetune import api, pipeline
from edgetune.api.building import make_build_plan
from edgetune.cli import cli
from edgetune.progress import Quiet
from edgetune.store import Store
from tests.conftest import write_images


def fine_tune(recipe, store):
    plan, surroundings = make_build_plan(recipe, None)
    first = tuple(step for step in plan.steps if step.name in ("check_data", "finetune"))
    return pipeline.run(replace(plan, steps=first, candidates=()), store, surroundings, Quiet())["finetune"]


def told(recipe, store, **more):
    return {status.step.id: status for status in api.plan(recipe, cache_dir=store.root, **more)[1]}


def test_costs_of_other_data_are_called_so_and_those_of_the_same_data_win(project):
    recipe, store = project / "edgetune.toml", Store(project / "store")
    done = fine_tune(recipe, store)
    assert told(recipe, store)["finetune"].same_data is None and told(recipe, store)["finetune"].cached
    recipe.write_text(recipe.read_text().replace("epochs = 6", "epochs = 7"))
    status = told(recipe, store)["finetune"]
    assert status.same_data is True and status.seconds == pytest.approx(done.seconds, abs=1)
    write_images(project / "more", splits={"train": 9, "val": 3, "test": 3}, seed=5)
    text = recipe.read_text()
    recipe.write_text(text.replace('path = "shapes"', 'path = "more"'))
    assert recipe.read_text() != text
    status = told(recipe, store)["finetune"]
    assert status.same_data is False and status.seconds is not None
    shown = CliRunner().invoke(cli, ["plan", str(recipe), "--cache-dir", str(store.root)])
    assert "what one took with other data" in shown.output


def test_a_few_timed_batches_tell_what_training_takes(project):
    recipe, store = project / "edgetune.toml", Store(project / "store")
    before = told(recipe, store)["finetune"]
    assert before.seconds is None and not before.timed
    status = told(recipe, store, timed=True)["finetune"]
    assert status.timed and status.cached is False
    (timing,) = (json.loads(path.read_text()) for path in store.root.glob("objects/*/timing.json"))
    epoch = timing["steps_per_epoch"] * timing["step_seconds"] + timing["validation_seconds"]
    assert status.seconds == pytest.approx(timing["seconds"]) and timing["seconds"] >= 6 * epoch * 0.999
    assert timing["steps_per_epoch"] == 6 and timing["step_seconds"] > 0
    took = fine_tune(recipe, store).seconds
    assert status.seconds < 30 * took and took < 100 * status.seconds  # the machine is shared
    assert told(recipe, store, timed=True)["finetune"].timed is False  # it is there: nothing to foretell


def test_features_are_foretold_too(project):
    recipe, store = project / "edgetune.toml", Store(project / "store")
    recipe.write_text(recipe.read_text().replace("epochs = 6", 'strategy = "feature-extraction"'))
    assert 0 < told(recipe, store, timed=True)["finetune"].seconds < 60
