"""What a search has found so far, as plain data: the content of ``tune.json``."""

import datetime as dt
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from edgetune import __version__
from edgetune.records import Dimension, Recipe
from edgetune.search_space import space_of
from edgetune.tune.liveness import LOSSES, worker_names
from edgetune.tune.study import REASON, RECIPE, VALUES, best_of, counted

SCHEMA = "edgetune.tune/1"
FEWEST_FOR_IMPORTANCE = 5  # finished trials


def describe(study: optuna.Study, recipe: Recipe, validation: Sequence[int], storage: str) -> dict[str, Any]:
    """All trials, the best one, and how much each value mattered; ``validation``: samples of each class."""
    trials = counted(study.get_trials(deepcopy=False))
    best = best_of(trials)
    own = next((t for t in trials if t.user_attrs.get(RECIPE) and t.state is TrialState.COMPLETE), None)
    over, workers = sum(trial.state.is_finished() for trial in trials), worker_names(trials)
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "optuna": optuna.__version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "study": study.study_name,
        "storage": storage,
        "model": recipe.model.name,
        "pruner": recipe.tune.pruner,
        "seed": recipe.tune.seed,
        "trials_wanted": recipe.tune.trials,
        "complete": over >= recipe.tune.trials and over == len(trials),
        "validation_samples": sum(validation),
        "guessing": max(validation, default=0) / max(1, sum(validation)),
        "space": [_dimension(dimension) for dimension in space_of(recipe)],
        "trials": [_trial(trial, workers.get(trial.number)) for trial in trials],
        "recipe_trial": own.number if own else None,
        "best_trial": best.number if best else None,
        "changed": changed(recipe, best),
        "importance": importance(study, trials),
    }


def changed(recipe: Recipe, best: FrozenTrial | None) -> list[dict[str, Any]]:
    """What of ``[finetune]`` the best trial has otherwise than the recipe."""
    if best is None:
        return []
    pairs = {name: (getattr(recipe.finetune, name), value) for name, value in best.user_attrs[VALUES].items()}
    return [{"name": name, "from": own, "to": new} for name, (own, new) in pairs.items() if own != new]


def importance(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, float] | None:
    """Each name's share of what makes a trial good (PED-ANOVA, Watanabe et al. 2023), the largest first.

    None: too few trials came to their end, or all are as good.
    """
    values = [trial.value for trial in trials if trial.state is TrialState.COMPLETE]
    if len(values) < FEWEST_FOR_IMPORTANCE or len(set(values)) < 2:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that few trials make it inexact: the report says so
            shares = get_param_importances(study)
    except (ValueError, RuntimeError):  # of parameters that no finished trial has
        return None
    return {name: round(share, 6) for name, share in shares.items()}


def _dimension(d: Dimension) -> dict[str, Any]:
    return (
        {"name": d.name, "choices": list(d.choices)}
        if d.choices
        else {"name": d.name, "low": d.low, "high": d.high, "log": d.log}
    )


def _trial(trial: FrozenTrial, worker: str | None) -> dict[str, Any]:
    attributes: Mapping[str, Any] = trial.user_attrs
    seconds = (
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        if (trial.datetime_complete and trial.datetime_start)
        else None
    )
    return {
        "number": trial.number,
        "state": {"complete": "finished", "fail": "failed"}.get(trial.state.name.lower(), trial.state.name.lower()),
        "recipe": bool(attributes.get(RECIPE)),
        "accuracy": trial.value if trial.state is TrialState.COMPLETE else None,
        "values": dict(attributes.get(VALUES, {})),
        "history": [
            {"share": step / 100, "accuracy": value} for step, value in sorted(trial.intermediate_values.items())
        ],
        "seconds": seconds,
        "worker": worker,
        "again_after": trial.system_attrs.get("retry_history", []),
        "workers_lost": attributes.get(LOSSES, 0),
        "reason": attributes.get(REASON),
    }
