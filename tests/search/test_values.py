"""From a trial's values to the engine that is meant, and what of them is drawn at all."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.plan.candidates import FLOAT, prunings
from edgetune.records import DataSpec, ModelSpec, PruneSpec, Pruning, QuantizeSpec, Recipe, SearchSpec
from edgetune.search.values import changes, choose, first_values, wanted
from edgetune.search_space import search_space_of

OWN = Recipe(base=Path("/p"), model=ModelSpec(name="torchvision/resnet18"), data=DataSpec(path="photos"))


def drawn(recipe, values, space):
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.enqueue_trial(values)
    return choose(study.ask(), space, recipe, int8=True)


@pytest.mark.parametrize(
    ("values", "pruning", "precision"),
    [
        ({"prune.target_speedup": 1.0, "quantize.mode": "ptq"}, Pruning(), "int8"),
        ({"prune.target_speedup": 1.5, "quantize.mode": "qat"}, Pruning(speedup=1.5), "qat"),
        ({"prune.ratio": 0.25, "quantize.mode": "none"}, Pruning(ratio=0.25), FLOAT),
        ({"prune.ratio": 0.0}, Pruning(), "int8"),
        ({"prune.criterion": "taylor"}, Pruning(), "int8"),  # the recipe names two speed-ups: neither is meant
    ],
)
def test_values_name_one_engine_and_its_recipe_builds_it(values, pruning, precision):
    engine = wanted(OWN, values, int8=True)
    assert (engine.pruning, engine.precision) == (pruning, precision)
    assert prunings(engine.recipe.prune, True) == ([pruning] if pruning.asked else [])
    other = replace(OWN, prune=PruneSpec(ratio=(0.1, 0.2), target_speedup=(1.2, 3.0)))
    assert prunings(wanted(other, values, int8=True).recipe.prune, True) == ([pruning] if pruning.asked else [])
    assert wanted(OWN, values, int8=False).precision == FLOAT


def test_the_only_pruning_of_a_recipe_is_meant_where_values_say_nothing():
    recipe = replace(OWN, prune=PruneSpec(ratio=(0.3,)))
    assert wanted(recipe, {"prune.criterion": "taylor"}, int8=True).pruning == Pruning(ratio=0.3)


def test_repairs_are_tried_together_and_are_lists_in_the_recipe():
    space = {"quantize": {"repair": [[], ["bias-correction"], ["equalisation", "bias-correction"]]}}
    recipe = replace(OWN, prune=PruneSpec(ratio=(0.3,)), search=SearchSpec(space=space))
    (dimension,) = search_space_of(recipe, int8=True)
    assert dimension.choices == ("nothing", "bias-correction", "equalisation + bias-correction")
    assert {values["quantize.repair"] for values in first_values(recipe, [dimension], int8=True)} == {"bias-correction"}
    found = [wanted(recipe, {"quantize.repair": choice}, int8=True).recipe for choice in dimension.choices]
    assert [list(made.quantize.repair) for made in found] == space["quantize"]["repair"]
    assert changes(recipe, found[2])["quantize", "repair"] == ["equalisation", "bias-correction"]
    assert drawn(recipe, {"quantize.repair": "nothing"}, [dimension]) == {"quantize.repair": "nothing"}


def test_what_an_engine_does_not_depend_on_is_not_drawn():
    space = search_space_of(OWN, int8=True)
    names = {dimension.name for dimension in space}
    assert {"prune.target_speedup", "prune.criterion", "quantize.mode", "quantize.calibration"} < names
    plain = drawn(OWN, {"prune.target_speedup": 1.0, "quantize.mode": "none"}, space)
    assert plain == {"prune.target_speedup": 1.0, "quantize.mode": "none"}
    floating = drawn(OWN, {"prune.target_speedup": 2.0, "quantize.mode": "none"}, space)
    assert "prune.criterion" in floating and "quantize.calibration" not in floating
    assert drawn(OWN, {"prune.target_speedup": 1.05, "quantize.mode": "ptq"}, space)["prune.target_speedup"] == 1.0
    space = search_space_of(
        replace(OWN, search=SearchSpec(space={"prune": {"distillation_weight": [0.1]}, "quantize": {"epochs": [1]}})),
        int8=True,
    )
    assert drawn(OWN, {}, space) == {}  # neither pruned nor trained after quantization
    trained = replace(OWN, quantize=QuantizeSpec(mode="qat"))
    assert drawn(trained, {}, space) == {"prune.distillation_weight": 0.1, "quantize.epochs": 1}


def test_what_is_trained_for_dynamic_ranges_is_not_smoothed():
    space = {"quantize": {"mode": ["ptq", "qat"], "repair": [["smoothquant"]]}}
    recipe = replace(OWN, model=ModelSpec(name="transformers/minilm"), search=SearchSpec(space=space))
    values = {
        mode: drawn(recipe, {"quantize.mode": mode}, search_space_of(recipe, int8=True)) for mode in ("ptq", "qat")
    }
    assert "quantize.repair" in values["ptq"] and "quantize.repair" not in values["qat"]


def test_the_first_trials_are_the_engines_of_the_recipe():
    space = search_space_of(OWN, int8=True)
    first = first_values(OWN, space, int8=True)
    assert [values["prune.target_speedup"] for values in first] == [1.0, 1.25, 1.5]
    assert {values["quantize.mode"] for values in first} == {"ptq"}
    trained = replace(OWN, quantize=QuantizeSpec(mode="qat"), prune=PruneSpec(target_speedup=(9.0,)))
    first = first_values(trained, search_space_of(trained, int8=True), int8=True)
    assert [(values["prune.target_speedup"], values["quantize.mode"]) for values in first] == [
        (1.0, "ptq"), (1.0, "qat"), (9.0, "ptq"), (9.0, "qat"),
    ]  # fmt: skip
    elsewhere = replace(OWN, search=SearchSpec(space={"prune": {"ratio": [0.1, 0.2]}}))
    assert first_values(elsewhere, search_space_of(elsewhere, int8=True), int8=True) == [{}]


@given(
    speedup=st.floats(1.01, 9),
    weight=st.floats(0, 1),
    mode=st.sampled_from(["none", "ptq", "qat"]),
    size=st.integers(16, 99),
)
def test_changes_are_all_that_differs(speedup, weight, mode, size):
    values = {
        "prune.target_speedup": speedup,
        "prune.distillation_weight": weight,
        "quantize.mode": mode,
        "data.image_size": size,
    }
    made = wanted(OWN, values, int8=True).recipe
    again = OWN
    for (section, key), value in changes(OWN, made).items():
        value = tuple(value) if isinstance(value, list) else value
        again = replace(again, **{section: replace(getattr(again, section), **{key: value})})
    assert again == made and made.prune.distillation_weight == weight and made.data.image_size == size
