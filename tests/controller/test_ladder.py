"""Which rungs there are for a recipe, and what each is made of."""

from dataclasses import replace
from pathlib import Path

from edgetune.controller.ladder import ladder
from edgetune.plan import make_rung_plan
from edgetune.plan.candidates import UNPRUNED
from edgetune.records import DataSpec, Facts, ModelSpec, Pruning, QuantizeSpec, Recipe, Rung
from edgetune.target import load_target

TARGET = load_target("x86-cpu")
TEXTS = Recipe(
    base=Path("/a"),
    model=ModelSpec(name="transformers/minilm"),
    data=DataSpec(path="texts"),
    quantize=QuantizeSpec(mode="auto"),
)
SMOOTHED = replace(TEXTS, quantize=QuantizeSpec(mode="auto", repair=("smoothquant",)))


def test_texts_are_repaired_by_smoothing_unless_the_recipe_smooths_them_anyway():
    def of_the_whole(recipe):
        return [rung.treatment for rung in ladder(recipe, TARGET) if rung.pruning == UNPRUNED]

    assert of_the_whole(TEXTS) == ["int8", "int8-repaired", "int8-mixed", "int8-qat"]
    assert of_the_whole(SMOOTHED) == ["int8", "int8-mixed", "int8-qat"]

    def made(recipe, treatment):
        facts = Facts(sources={}, unavailable={TARGET.name: None}, untimed={})
        plan = make_rung_plan(recipe, TARGET, facts, Rung(pruning=UNPRUNED, treatment=treatment))
        (step,) = [step for step in plan.steps if step.name == "quantize_dynamic"]
        return plan.candidates[0].name, step

    plain, repaired, asked = made(TEXTS, "int8"), made(TEXTS, "int8-repaired"), made(SMOOTHED, "int8")
    assert (plain[0], repaired[0]) == ("int8", "int8-repaired")
    assert "repair" not in plain[1].params and plain[1].id != repaired[1].id
    assert repaired[1].params["repair"] == ["smoothquant"] and repaired[1].id == asked[1].id
    for trained in (made(TEXTS, "int8-qat"), made(SMOOTHED, "int8-qat")):  # for weights as they are
        assert trained[0] == "int8-qat" and "repair" not in trained[1].params
        assert trained[1].inputs["network"].startswith("qat:finetune")


def test_prunings_go_from_strong_to_gentle_and_each_float_comes_first():
    prunings = [rung.pruning for rung in ladder(TEXTS, TARGET) if rung.treatment is None]
    assert prunings == [Pruning(speedup=speedup) for speedup in (2.0, 1.5, 1.25)]
