"""What a rung will take is foreseen from those of its kind."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetune.controller.climb import _Climb
from edgetune.pipeline import Outcome
from edgetune.plan.candidates import UNPRUNED
from edgetune.records import BudgetSpec, DataSpec, Facts, ModelSpec, Pruning, Recipe, Rung, Step

TWO, GENTLE = Rung(pruning=Pruning(speedup=2.0)), Rung(pruning=Pruning(speedup=1.25))
WHOLE = Rung(pruning=UNPRUNED, treatment="int8")


def climb(max_hours, worked):
    recipe = Recipe(
        base=Path("/a"),
        model=ModelSpec(name="a"),
        data=DataSpec(path="b"),
        budget=BudgetSpec(max_hours=max_hours),
    )
    step = Step(id="s", name="finetune", version=1, title="t", params={}, inputs={}, libraries=(), seed=0)
    done = Outcome(step=step, artifact=None, cached=False, seconds=3600 * worked)
    facts = Facts(sources={}, unavailable={}, untimed={})
    made = _Climb(recipe=recipe, facts=facts, store=SimpleNamespace(), carry_out=None, say=print)
    made.outcomes["s"] = done
    return made


@pytest.mark.parametrize(
    ("max_hours", "why"), [(None, None), (2.2, None), (2.0, "would have been over"), (1.0, "were over")]
)
def test_a_rung_that_would_not_end_in_time_does_not_begin(max_hours, why):
    made = climb(max_hours, worked=1.5)
    made.note_cost(TWO, 0.6)
    made.note_cost(TWO, 0.4)
    told = made.over(GENTLE)
    assert told is None if why is None else why in told
    if max_hours == 2.0:
        assert "another engine of its kind took 0.6" in told
        assert made.over(WHOLE) is None  # nothing is known of its kind
