"""A cross-validation in real builds: what is reported, what is cached, and what a class that is too small gives."""

import json
from dataclasses import replace

import pytest
from small_text import write_encoder, write_texts

import edgetune
from edgetune import api, pipeline
from edgetune.api.building import make_build_plan
from edgetune.data.index import DatasetIndex
from edgetune.errors import DataError, RecipeError
from edgetune.progress import Quiet
from edgetune.report.validate import validate
from edgetune.store import Store

KINDS = ("check_data", "tokenize", "folds", "fold", "cross_validate")


def with_folds(project, count, more=""):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("[data]\n", f"[data]\nfolds = {count}\n", 1)
    recipe.write_text(text.replace("epochs = 6\n", f"epochs = 2\n{more}", 1))
    return recipe


def cross_validate(recipe, store):
    """The outcomes of the steps that a cross-validation needs."""
    plan, surroundings = make_build_plan(recipe, None)
    plan = replace(plan, steps=tuple(step for step in plan.steps if step.name in KINDS), candidates=())
    return pipeline.run(plan, store, surroundings, Quiet())


def result(outcomes):
    return json.loads((outcomes["cross-validate"].artifact.path / "cross_validation.json").read_text())


def test_pictures(project):
    store = Store(project / "store")
    recipe = with_folds(project, 3)
    outcomes = cross_validate(recipe, store)
    found = result(outcomes)
    assert [row["fold"] for row in found["folds"]] == [1, 2, 3]
    assert sum(row["samples"] for row in found["folds"]) == 3 * (24 + 8)  # train and val, not test
    low, high = found["ci95"]
    assert 0 <= low < found["mean"] < high <= 1 or found["mean"] in (0.0, 1.0)
    assert all(row["trained_on"] < 3 * 32 - row["samples"] for row in found["folds"])  # some choose the epoch
    assert not list(store.root.glob("objects/*/model.safetensors"))  # only numbers are kept
    again = cross_validate(recipe, store)
    assert all(outcome.cached for outcome in again.values()) and result(again) == found
    recipe.write_text(recipe.read_text().replace("learning_rate = 0.01", "learning_rate = 0.02"))
    changed = cross_validate(recipe, store)
    assert {name for name, outcome in changed.items() if outcome.cached} == {"check-data", "folds"}


def test_texts_learn_from_their_own_tokens(tmp_path):
    write_encoder(tmp_path / "encoder")
    write_texts(tmp_path / "texts", splits={"train": 60, "val": 15, "test": 5})
    (tmp_path / "edgetune.toml").write_text(
        '[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\nmax_length = 24\nfolds = 3\n'
        '[finetune]\nepochs = 8\nlearning_rate = 3e-3\nbatch_size = 16\nprecision = "fp32"\n'
    )
    found = result(cross_validate(tmp_path / "edgetune.toml", Store(tmp_path / "store")))
    assert sum(row["samples"] for row in found["folds"]) == 3 * 75
    assert found["mean"] > 0.7  # a third by chance: a shifted token would not be learned


def test_the_network_is_judged_on_what_it_did_not_see(project, monkeypatch):
    import edgetune.steps.fold as fold

    seen = {}
    learn = fold.finetune.learn

    def remember(context):
        content = json.loads((context.inputs["dataset"] / "dataset.json").read_text())
        index = DatasetIndex.from_json(content)
        seen[context.params["fold"]] = (
            context.seed,
            {s: {x.sha256 for x in index.split(s)} for s in ("train", "val", "test")},
        )
        return learn(context)

    monkeypatch.setattr(fold.finetune, "learn", remember)
    cross_validate(with_folds(project, 3), Store(project / "store"))
    assert sorted(seen) == [1, 2, 3] and len({seed for seed, _ in seen.values()}) == 3
    for _, contents in seen.values():
        assert not contents["test"] & (contents["train"] | contents["val"]) and contents["val"]


def test_it_goes_on_after_an_interruption_with_the_same_result(project, monkeypatch):
    import edgetune.finetune.trainer as trainer

    recipe = with_folds(project, 3)
    whole = result(cross_validate(recipe, Store(project / "whole")))
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_SECONDS", 0.0)
    step, taken = trainer._Run._step, []

    def cut(self, images, labels):
        if len(taken) == 16:  # in the second fold
            raise KeyboardInterrupt
        taken.append(step(self, images, labels))

    monkeypatch.setattr(trainer._Run, "_step", cut)
    store = Store(project / "store")
    with pytest.raises(edgetune.errors.Interrupted):
        cross_validate(recipe, store)
    assert list(store.root.glob("work/*/scratch/training.safetensors"))
    monkeypatch.setattr(trainer._Run, "_step", step)
    outcomes = cross_validate(recipe, store)
    assert outcomes["fold-1"].cached and not outcomes["fold-2"].cached
    assert result(outcomes) == whole


def test_a_class_smaller_than_the_folds_ends_the_build_before_any_training(project):
    for path in [*(project / "shapes/val/blob").iterdir(), *sorted((project / "shapes/train/blob").iterdir())[4:]]:
        path.unlink()
    with pytest.raises(DataError, match=r"too few of blob"):
        edgetune.build(with_folds(project, 5))
    assert not list((project / "store").glob("objects/*/model.safetensors"))


@pytest.mark.parametrize("count", [-1, 1, 2, 21])
def test_impossible_numbers_of_folds_are_refused(project, count):
    with pytest.raises(RecipeError, match="from 3 to 20"):
        edgetune.build(with_folds(project, count))


def test_plan_shows_the_cost_and_the_ordinary_steps_keep_their_keys(project):
    plain = {status.step.id: status.step for status in api.plan(project / "edgetune.toml")[1]}
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("[data]\n", "[data]\nfolds = 4\n", 1))
    folded = {status.step.id: status.step for status in api.plan(recipe)[1]}
    assert set(folded) - set(plain) == {"folds", "fold-1", "fold-2", "fold-3", "fold-4", "cross-validate"}
    assert all(folded[name] == step for name, step in plain.items())


def test_before_a_fold_was_run_it_is_likely_to_cost_what_fine_tuning_did(project):
    recipe, store = with_folds(project, 3), Store(project / "store")
    plan, surroundings = make_build_plan(recipe, None)
    first = tuple(step for step in plan.steps if step.name in ("check_data", "finetune"))
    pipeline.run(replace(plan, steps=first, candidates=()), store, surroundings, Quiet())
    costs = {status.step.id: status.seconds for status in pipeline.preview(plan, store)}
    assert costs["fold-1"] == costs["fold-3"] == costs["finetune"] > 0


@pytest.mark.slow
def test_a_build_reports_it_in_every_form_and_a_failed_fold_takes_nothing_along(project, monkeypatch):
    recipe = with_folds(project, 3)
    recipe.write_text(recipe.read_text().replace("ratio = [0.0, 0.5]", "ratio = [0.0]"))
    report = edgetune.build(recipe)
    validate(report.data)
    found = report.data["cross_validation"]
    assert len(found["folds"]) == 3 and found["reason"] is None
    for form in ("report.md", "report.html"):
        assert "Cross-validation in 3 folds" in (report.run_dir / form).read_text()

    import edgetune.steps.fold as fold

    def broken(context):
        raise edgetune.errors.TrainingError("the loss became NaN")

    monkeypatch.setattr(fold, "run", broken)
    recipe.write_text(recipe.read_text().replace("folds = 3", "folds = 4"))
    report = edgetune.build(recipe)
    validate(report.data)
    assert report.data["cross_validation"]["mean"] is None
    assert "the loss became NaN" in (report.run_dir / "report.md").read_text()
    assert report.data["targets"][0]["chosen"]
