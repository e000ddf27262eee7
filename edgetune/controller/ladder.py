"""What the controller may make for a target, in the order in which it would."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgetune.plan import make_plan, make_rung_plan
from edgetune.plan.candidates import AUTO_SPEEDUPS, BASELINE, UNPRUNED, makes_int8, prunings
from edgetune.records import Facts, Plan, Pruning, Recipe, Rung, Step, Target
from edgetune.rungs import FOR_PICTURES, FOR_TEXT, Treatment
from edgetune.specs import SMOOTHQUANT


def climbs(recipe: Recipe, target: Target, facts: Facts) -> bool:
    """Whether the controller chooses: it was left to, and engines of ``target`` can be timed."""
    return (
        recipe.quantize.mode == "auto" and facts.unavailable[target.name] is None and target.name not in facts.untimed
    )


def ladder(recipe: Recipe, target: Target) -> tuple[Rung, ...]:
    """The whole network first, then from strong pruning to gentle; of each float, then INT8 from cheap to costly.

    The float engine of the whole network is the baseline and no rung.
    """
    names = [treatment.name for treatment in _treatments(recipe)] if makes_int8(recipe, target) else []
    found = [Rung(pruning=UNPRUNED, treatment=name) for name in names]
    for pruning in sorted(prunings(recipe.prune, True, recipe.reads_text, AUTO_SPEEDUPS), key=_strength, reverse=True):
        found += [Rung(pruning=pruning, treatment=name) for name in (None, *names)]
    return tuple(found)


def _treatments(recipe: Recipe) -> tuple[Treatment, ...]:
    """What may be tried on a network; a recipe that smooths text networks anyway leaves nothing to repair."""
    if not recipe.reads_text:
        return FOR_PICTURES
    smoothed = SMOOTHQUANT in recipe.quantize.repair
    return tuple(one for one in FOR_TEXT if one.mixed or not (one.mended and smoothed))


def possible_plan(
    recipe: Recipe, targets: tuple[Target, ...], facts: Facts, rungs: Mapping[str, Sequence[Rung]]
) -> tuple[Plan, dict[str, str]]:
    """The plan with all of ``rungs`` in their order, and {step id: engine of the controller's that needs it first}."""
    steps: dict[str, Step] = {}
    needed_by: dict[str, str] = {}
    for target in (target for target in targets if target.name in rungs):
        for rung in (BASELINE, *rungs[target.name]):
            plan = make_rung_plan(recipe, target, facts, rung)
            for step in plan.steps:
                if steps.setdefault(step.id, step) is step and rung != BASELINE:
                    needed_by[step.id] = plan.candidates[0].name
    whole = make_plan(recipe, targets, facts, rungs)
    steps |= {step.id: step for step in whole.steps if step.id not in steps}
    of_rungs = [one for one in whole.candidates if one.compile_step in needed_by and one.evaluate_step]
    needed_by |= {str(one.evaluate_step): one.name for one in of_rungs}
    return replace(whole, steps=tuple(steps.values())), needed_by


def _strength(pruning: Pruning) -> tuple[float, float, float]:
    """Speed-ups and latencies come before ratios: they are by measured latency."""
    fastest = 1.0 / pruning.latency_ms if pruning.latency_ms else 0.0
    return pruning.speedup or 0.0, fastest, pruning.ratio or 0.0
