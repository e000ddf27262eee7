"""One search: its name in the storage, who may join it, how it samples and prunes.

The name is a digest of all that makes two trials comparable. So the same command goes on with the same search, and a
recipe that trains something else begins another one in the same storage.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from edgetune.errors import InputError
from edgetune.hashing import digest_json
from edgetune.plan import make_finetune_plan
from edgetune.plan.as_data import finetune_as_data
from edgetune.records import Dimension, Facts, Recipe
from edgetune.search_space import space_of

PREFIX = "edgetune-"
PARTS, RECIPE, SURPLUS, VALUES, REASON = (
    f"edgetune:{name}" for name in ("parts", "recipe", "surplus", "values", "reason")
)
FIRST_TRIAL_SECONDS = 10.0  # from making a study to queueing its first trial, on a busy machine
RANDOM_TRIALS = 8  # before the sampler learns from those that were
FIRST_SHARE = 25  # of a training in percent, before which none is pruned
DIGITS = 3  # of a sampled value


def identity(recipe: Recipe, facts: Facts) -> dict[str, Any]:
    """What two workers must have in common, by where it is written."""
    steps = {step.name: step for step in make_finetune_plan(recipe, facts).steps}
    model, dimensions = recipe.model, space_of(recipe)
    searched = any("lora" in dimension.choices for dimension in dimensions)
    own = asdict(recipe.finetune) if searched else finetune_as_data(recipe.finetune)
    data, weights, code = (facts.sources[name] for name in ("data", "weights", "code"))
    size = [recipe.data.image_size, recipe.data.max_length]
    parts = {
        "[model], its weights or its code": [model.name, dict(model.args), model.pretrained, weights, code],
        "[data] or the files": [steps["check_data"].params, size, data],
        "[finetune]": own,
        "[tune.space]": [asdict(dimension) for dimension in dimensions],
        "seed": recipe.seed,
        "the version of edgetune": {name: step.version for name, step in steps.items()},
    }
    return {name: digest_json(part) for name, part in parts.items()}


def open_study(storage: BaseStorage, recipe: Recipe, parts: dict[str, Any], *, join: bool) -> optuna.Study:
    """The search of ``recipe``: that which is there, else (unless it is to ``join`` one) a new one.

    The recipe's own values are the first trial of a new one.

    Raises:
        InputError: there is none to join; it says what differs from the one that is there.
    """
    own = {d.name: getattr(recipe.finetune, d.name) for d in space_of(recipe)}
    first = {d.name: own[d.name] for d in space_of(recipe) if d.holds(own[d.name])}
    how = {"pruner": make_pruner(recipe.tune.pruner), "sampler": make_sampler(recipe.tune.seed, 0)}
    return find_or_make(
        storage, PREFIX, parts, [(first, {RECIPE: True})], join=join, directions=[StudyDirection.MAXIMIZE], how=how
    )


def find_or_make(
    storage: BaseStorage,
    prefix: str,
    parts: dict[str, Any],
    first: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    *,
    join: bool,
    directions: list[StudyDirection],
    how: dict[str, Any],
) -> optuna.Study:
    """The study whose name is ``prefix`` and a digest of ``parts``; a new one gets its ``first`` trials.

    Args:
        first: (parameters, user attributes) of trials to queue; one at least.
        how: ``sampler`` and ``pruner``.

    Raises:
        InputError: there is none to ``join``; it says what differs from the one that is there.
    """
    name = prefix + digest_json(parts)[:12]
    if join and name not in optuna.get_all_study_names(storage):
        raise _not_served(storage, prefix, parts)
    try:
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, **how)
        ours = True
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name, **how)
        ours = not _has_begun(study)
    if ours:
        study.set_user_attr(PARTS, parts)
        for parameters, attributes in first:
            study.enqueue_trial(parameters, user_attrs=attributes)
    return study


def _has_begun(study: optuna.Study) -> bool:
    """Whether whoever made the study queued its first trial, which may take a moment."""
    end = time.monotonic() + FIRST_TRIAL_SECONDS
    while not study.get_trials(deepcopy=False):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def make_sampler(seed: int, number: int) -> TPESampler:
    """Tree-structured Parzen estimator (Bergstra et al. 2011), each trial with random numbers of its own.

    So a search that was stopped goes on as it would have, and workers do not draw the same values.
    """
    return TPESampler(seed=(seed * 1_000_003 + number) % 2**32, n_startup_trials=RANDOM_TRIALS, multivariate=False)


def make_pruner(name: str) -> BasePruner:
    """A pruner whose steps are percent of a trial's own epochs, so that the learning rate is equally far down."""
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=FIRST_SHARE)
    if name == "hyperband":  # Li et al. 2018
        return HyperbandPruner(min_resource=FIRST_SHARE, max_resource=100, reduction_factor=2)
    return NopPruner()


def choose(trial: Trial, space: Sequence[Dimension], recipe: Recipe) -> dict[str, Any]:
    """The values of ``trial``; the recipe's own where it stands for the recipe."""
    own, chosen = bool(trial.user_attrs.get(RECIPE)), {}
    for dimension in space:
        value = getattr(recipe.finetune, dimension.name)
        if not own:
            value = suggest(trial, dimension)
        elif dimension.holds(value):
            suggest(trial, dimension)  # which only notes it
        chosen[dimension.name] = value
    return chosen


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that make up the search, by number: without those that were begun again, and without surplus."""
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    return sorted(
        (t for t in trials if t.number not in again and not t.user_attrs.get(SURPLUS)), key=lambda trial: trial.number
    )


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The highest accuracy on validation; of equals the first, so that the recipe gives way only to what is better."""
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE and trial.value is not None]
    return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)


def suggest(trial: Trial, d: Dimension) -> Any:
    """A value of ``d`` for ``trial``; of a range one that reads well."""
    if d.choices:
        return trial.suggest_categorical(d.name, d.choices)
    if d.whole:
        return trial.suggest_int(d.name, int(d.low), int(d.high), log=d.log)
    exact = trial.suggest_float(d.name, d.low, d.high, log=d.log)
    rounded = float(f"{exact:.{DIGITS}g}")
    return rounded if d.low <= rounded <= d.high else exact


def _not_served(storage: BaseStorage, prefix: str, parts: dict[str, Any]) -> InputError:
    others = [
        summary.user_attrs[PARTS]
        for summary in optuna.get_all_study_summaries(storage, include_best_trial=False)
        if PARTS in summary.user_attrs and summary.study_name.rpartition("-")[0] == prefix.rstrip("-")
    ]
    if not others:
        return InputError("no search of edgetune's is served there", hint="start it there with --serve")
    nearest = min(others, key=lambda other: len(_differing(parts, other)))
    return InputError(
        f"the search that is served there is of another recipe; it differs in {', '.join(_differing(parts, nearest))}",
        hint="copy the recipe and the data as they are on the machine that serves it",
    )


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if one[name] != other.get(name)]
