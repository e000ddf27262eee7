"""Which steps a build takes, in order. Pure: reads no file, loads no library.

Every target gets a float candidate (its baseline), an INT8 one, and both again for each pruning; where the controller
chooses, the float one and those of its rungs.
Steps two targets share (fine-tuning, pruning by ratio to the same multiple of channels)
appear once.
"""

from collections.abc import Mapping, Sequence

from edgetune.plan.builder import Builder
from edgetune.plan.candidates import BASELINE, FLOAT
from edgetune.records import Facts, Plan, Pruning, Recipe, Rung, Target


def make_plan(
    recipe: Recipe, targets: tuple[Target, ...], facts: Facts, rungs: Mapping[str, Sequence[Rung]] | None = None
) -> Plan:
    """The plan of a build for ``targets``: of those in ``rungs`` these engines, of the others the recipe's grid."""
    builder = Builder(recipe, facts)
    if recipe.data.check_labels:
        builder.add_check_labels()
    if recipe.data.folds:
        builder.add_folds()
    for target in targets:
        builder.add_target(target, (rungs or {}).get(target.name))
    if recipe.finetune.keep is not None:
        builder.add_forgetting()
    if recipe.data.folds:
        builder.add_cross_validation()
    return Plan(
        recipe=recipe,
        targets=targets,
        steps=tuple(builder.steps.values()),
        candidates=tuple(builder.candidates),
        facts=facts,
    )


def make_lr_find_plan(recipe: Recipe, facts: Facts, *, lowest: float, highest: float, steps: int) -> Plan:
    """The steps of a learning-rate range test: look at the data, then try rates."""
    builder = Builder(recipe, facts)
    builder.add_lr_find({"lowest": lowest, "highest": highest, "steps": steps})
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_timing_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps that time a few batches of the fine-tuning, to tell how long it would take."""
    builder = Builder(recipe, facts)
    builder.add_time_training()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_diagnosis_plan(recipe: Recipe, target: Target, facts: Facts, *, samples: int) -> Plan:
    """The steps that find where the fine-tuned network loses its accuracy to the target's 8 bits."""
    builder = Builder(recipe, facts)
    builder.add_diagnosis(target, samples)
    return Plan(recipe=recipe, targets=(target,), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_finetune_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps of a build up to its fine-tuning."""
    builder = Builder(recipe, facts)
    builder.add_finetune()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)


def make_trial_plan(recipe: Recipe, target: Target, facts: Facts, pruning: Pruning, precision: str) -> Plan:
    """The steps of a build that make one engine of ``recipe`` and evaluate it, on validation alone.

    Args:
        precision: "float", "int8", or "qat" for INT8 that was trained.
    """
    builder = Builder(recipe, facts)
    builder.add_trial(target, pruning, precision)
    return Plan(
        recipe=recipe,
        targets=(target,),
        steps=tuple(builder.steps.values()),
        candidates=tuple(builder.candidates),
        facts=facts,
    )


def make_rung_plan(recipe: Recipe, target: Target, facts: Facts, rung: Rung) -> Plan:
    """The steps that make the engine of ``rung``, evaluate it on validation alone, and time it beside the float one.

    The baseline itself is not timed.
    """
    builder = Builder(recipe, facts)
    if recipe.data.check_labels:
        builder.add_check_labels()
    if recipe.data.folds:
        builder.add_folds()
    baseline = builder.add_rung(target, BASELINE, ("val",))
    candidate = baseline if rung == BASELINE else builder.add_rung(target, rung, ("val",))
    if rung != BASELINE:
        assert baseline.compile_step and candidate.compile_step  # rungs are for targets that run here
        pair = {FLOAT: baseline.compile_step, candidate.name: candidate.compile_step}
        builder.add_measure(target, pair, beside=candidate.name)
    return Plan(
        recipe=recipe, targets=(target,), steps=tuple(builder.steps.values()), candidates=(candidate,), facts=facts
    )


def make_pair_plan(recipe: Recipe, target: Target, facts: Facts, engines: Mapping[str, str]) -> Plan:
    """The one step that times ``engines`` ({name: id of a step of another plan}) in the same session."""
    builder = Builder(recipe, facts)
    measured = builder.add_measure(target, engines)
    return Plan(recipe=recipe, targets=(target,), steps=(builder.steps[measured],), candidates=(), facts=facts)


def make_check_labels_plan(recipe: Recipe, facts: Facts) -> Plan:
    """The steps of a look at the labels: look at the data, then at what the network sees of it."""
    builder = Builder(recipe, facts)
    builder.add_check_labels()
    return Plan(recipe=recipe, targets=(), steps=tuple(builder.steps.values()), candidates=(), facts=facts)
