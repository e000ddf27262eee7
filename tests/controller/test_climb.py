"""What a rung will take is foreseen from what the same steps took for other engines."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetune.controller.climb import _Climb
from edgetune.pipeline import Outcome
from edgetune.plan import make_rung_plan
from edgetune.plan.candidates import UNPRUNED
from edgetune.records import BudgetSpec, DataSpec, Facts, ModelSpec, Pruning, Recipe, Rung
from edgetune.target import load_target

TARGET = load_target("x86-cpu")
FACTS = Facts(sources={}, unavailable={TARGET.name: None}, untimed={})
RECIPE = Recipe(base=Path("/a"), model=ModelSpec(name="transformers/minilm"), data=DataSpec(path="texts"))
TWO, GENTLE = Rung(pruning=Pruning(speedup=2.0)), Rung(pruning=Pruning(speedup=1.25))
HOURS = {"finetune": 1.0, "time_encoder": 0.2, "prune_encoder": 0.5, "export": 0.01}


def climb(max_hours):
    """After the float engine and a pruned one."""
    recipe = replace(RECIPE, budget=BudgetSpec(max_hours=max_hours))
    made = _Climb(recipe=recipe, facts=FACTS, store=SimpleNamespace(), carry_out=None, say=print)
    for rung in (Rung(pruning=UNPRUNED), TWO):
        for step in make_rung_plan(recipe, TARGET, FACTS, rung).steps:
            seconds = 3600 * HOURS.get(step.name, 0.0)
            made.outcomes.setdefault(step.id, Outcome(step=step, artifact=None, cached=False, seconds=seconds))
    return made


def test_steps_that_are_done_already_take_no_time_again():
    made = climb(None)
    assert made.hours() == pytest.approx(1.0 + 0.2 + 0.5 + 2 * 0.01)
    assert made.foreseen(TARGET, TWO) == 0
    assert made.foreseen(TARGET, GENTLE) == pytest.approx(0.5 + 0.01)  # layers have been timed
    trained = Rung(pruning=UNPRUNED, treatment="int8-qat")
    assert made.foreseen(TARGET, trained) == pytest.approx(0.01)  # of training nothing is known yet


@pytest.mark.parametrize(
    ("max_hours", "why"), [(None, None), (2.3, None), (2.0, "would have been over"), (1.0, "were over")]
)
def test_a_rung_that_would_not_end_in_time_does_not_begin(max_hours, why):
    told = climb(max_hours).over(TARGET, GENTLE)
    assert told is None if why is None else why in told
    assert max_hours != 2.0 or "its steps took 0.51 for other engines" in told
