"""Which trials make up a search, who may join it, and what is drawn."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from edgetune.errors import InputError
from edgetune.records import DataSpec, Dimension, Facts, FinetuneSpec, ModelSpec, Recipe, TuneSpec
from edgetune.tune.study import RECIPE, SURPLUS, best_of, choose, counted, identity, make_pruner, open_study

SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "epochs": {"low": 2, "high": 9}, "ema": [0.0, 0.9]}
OWN = Recipe(
    base=Path("/p"),
    model=ModelSpec(name="torchvision/resnet18"),
    data=DataSpec(path="photos"),
    finetune=FinetuneSpec(learning_rate=0.5, epochs=4),  # the rate lies outside of the space
    tune=TuneSpec(space=SPACE),
)
FACTS = Facts(sources={"data": "d", "weights": "w", "code": "c"}, unavailable={})


def opened(storage, recipe=OWN, join=False):
    return open_study(storage, recipe, identity(recipe, FACTS), join=join)


def test_the_recipe_is_first_as_it_is_and_queued_once():
    storage = optuna.storages.InMemoryStorage()
    study, again = opened(storage), opened(storage)
    assert study.study_name == again.study_name and len(study.get_trials()) == 1
    first, second = study.ask(), study.ask()
    assert first.user_attrs == {RECIPE: True} and not second.user_attrs
    space = [Dimension(name="learning_rate", low=1e-4, high=1e-2, log=True), Dimension(name="ema", choices=(0.0, 0.9))]
    assert choose(first, space, OWN) == {"learning_rate": 0.5, "ema": 0.0} and first.params == {"ema": 0.0}
    drawn = choose(second, space, OWN)
    assert drawn["learning_rate"] == float(f"{drawn['learning_rate']:.3g}") and 1e-4 <= drawn["learning_rate"] <= 1e-2


def test_what_is_for_lora_alone_makes_another_search_only_where_lora_is_tried():
    other = replace(OWN, finetune=replace(OWN.finetune, lora_rank=2))
    assert identity(other, FACTS) == identity(OWN, FACTS)
    tried = TuneSpec(space={"strategy": ["full", "lora"]})
    assert identity(replace(other, tune=tried), FACTS) != identity(replace(OWN, tune=tried), FACTS)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"finetune": FinetuneSpec(label_smoothing=0.0)}, r"\[finetune\]"),
        ({"data": DataSpec(path="photos", image_size=64)}, r"\[data\] or the files"),
        ({"model": ModelSpec(name="torchvision/resnet34")}, r"\[model\], its weights or its code"),
        ({"tune": TuneSpec(space={"epochs": [1, 2]})}, r"\[tune.space\]"),
        ({"seed": 5}, "seed"),
    ],
)
def test_another_recipe_may_not_join_and_is_told_why(change, where):
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(InputError, match="no search of edgetune's is served"):
        opened(storage, join=True)
    study = opened(storage)
    assert opened(storage, join=True).study_name == study.study_name
    with pytest.raises(InputError, match=f"it differs in {where}"):
        opened(storage, replace(OWN, **change), join=True)


def test_how_long_and_where_is_no_part_of_a_search():
    other = replace(OWN, tune=replace(OWN.tune, trials=99, storage="x.db", pruner="none", seed=3, timeout_hours=1.0))
    other = replace(other, base=Path("/elsewhere"), data=replace(OWN.data, path="other/photos", workers=4))
    assert identity(other, FACTS) == identity(OWN, FACTS)


@given(values=st.lists(st.floats(0, 1), min_size=1))
def test_the_best_is_the_first_of_the_highest(values):
    study = optuna.create_study(direction="maximize")
    for value in values:
        study.add_trial(optuna.create_trial(value=value))
    study.add_trial(optuna.create_trial(state=TrialState.PRUNED, value=1.0))
    assert best_of(study.get_trials()).number == values.index(max(values))


def test_surplus_and_trials_begun_again_do_not_count():
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    study.add_trial(optuna.create_trial(value=1.0, system_attrs={"retry_history": [0]}))
    study.add_trial(optuna.create_trial(state=TrialState.FAIL, user_attrs={SURPLUS: True}))
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    assert [trial.number for trial in counted(study.get_trials())] == [1, 3]
    assert best_of(study.get_trials()[2:]) is None


@pytest.mark.parametrize(("name", "prunes"), [("median", True), ("hyperband", True), ("none", False)])
def test_pruners_compare_trials_at_the_same_share_of_their_epochs(name, prunes):
    study = optuna.create_study(direction="maximize", pruner=make_pruner(name))
    given_up = 0
    for number in range(40):
        trial = study.ask()
        accuracy = 0.9 if number % 4 else 0.1
        for step in range(10, 101, 10):
            trial.report(accuracy, step)
            if trial.should_prune():
                assert step >= 25
                given_up += 1
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, accuracy)
    assert bool(given_up) == prunes
