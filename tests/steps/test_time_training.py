"""Costs told by ``plan``: of like steps on the same data, of other data only with a word, of timed batches."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from small_text import write_encoder, write_texts

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
    assert status.same_data is True and status.seconds == pytest.approx(7 / 6 * done.seconds, rel=0.1, abs=1)
    write_images(project / "more", splits={"train": 9, "val": 3, "test": 3}, seed=5)
    text = recipe.read_text()
    recipe.write_text(text.replace('path = "shapes"', 'path = "more"'))
    assert recipe.read_text() != text
    status = told(recipe, store)["finetune"]
    assert status.same_data is False and status.seconds is not None
    shown = CliRunner().invoke(cli, ["plan", str(recipe), "--cache-dir", str(store.root)])
    assert "what one took with other data" in shown.output


def test_a_step_of_another_network_size_or_strategy_says_nothing_and_epochs_are_reckoned(project):
    recipe, store = project / "edgetune.toml", Store(project / "store")
    done, text = fine_tune(recipe, store).seconds, recipe.read_text()

    def status_of(old, new):
        assert old in text
        recipe.write_text(text.replace(old, new, 1))
        return told(recipe, store)["finetune"]

    for old, new in (
        ('"tiny_network:tiny"', '"tiny_network:narrow"'),
        ("pretrained = false", "pretrained = false\nargs = { width = 32 }"),
        ("image_size = 40", "image_size = 48"),
        ("epochs = 6", 'epochs = 6\nstrategy = "gradual"'),
        ("epochs = 6", "epochs = 12\npatience = 3"),
    ):
        status = status_of(old, new)
        assert status.cached is False and status.seconds is None and status.same_data is None, new
    status = status_of("epochs = 6", "epochs = 12")
    assert status.same_data is True and status.scaled and status.seconds == pytest.approx(2 * done, rel=0.1, abs=1)
    status = status_of("batch_size = 12", "batch_size = 24")  # a little otherwise
    assert status.same_data is True and not status.scaled and status.seconds == pytest.approx(done, rel=0.1, abs=1)


def test_words_and_sums_of_a_plan_say_the_same(project):
    recipe, store = project / "edgetune.toml", Store(project / "store")
    fine_tune(recipe, store)

    def lines():
        return CliRunner().invoke(cli, ["plan", str(recipe), "--cache-dir", str(store.root)]).output.splitlines()

    recipe.write_text(recipe.read_text().replace("epochs = 6", "epochs = 12"))
    steps = [line for line in lines() if line.startswith("  ")]
    (total,) = (line for line in lines() if " steps, " in line)
    unknown = sum(line.endswith("unknown") for line in steps)
    assert "(what such a step took here, by its epochs)" in "".join(steps)
    assert unknown > 3 and f"({unknown} of unknown cost)" in total and "only known with other data" not in total
    write_images(project / "more", splits={"train": 9, "val": 3, "test": 3}, seed=5)
    recipe.write_text(recipe.read_text().replace('path = "shapes"', 'path = "more"'))
    (total,) = (line for line in lines() if " steps, " in line)
    # Of checking other data even that says nothing.
    assert f"(1 only known with other data, {unknown + 1} of unknown cost)" in total and "about" not in total


def test_pictures_say_nothing_of_texts(project):
    store = Store(project / "store")
    fine_tune(project / "edgetune.toml", store)
    write_encoder(project / "text/encoder")
    write_texts(project / "text/texts", splits={"train": 9, "val": 3, "test": 3})
    text = '[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\n'
    (project / "text/edgetune.toml").write_text(text)
    assert {status.seconds for status in told(project / "text/edgetune.toml", store).values()} == {None}


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
