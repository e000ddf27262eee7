"""What a search has found so far, as plain data: the content of ``search.json``."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from edgetune import __version__
from edgetune.measure.selection import BASELINE, over_limits, select
from edgetune.records import Dimension, Recipe, SearchSpec
from edgetune.search.hopeless import RESULT
from edgetune.search.pareto import Point, front, hypervolume
from edgetune.search.trial import Baseline, as_candidate, broken, budget_of
from edgetune.search.values import changes, wanted
from edgetune.tune.liveness import LOSSES, worker_names
from edgetune.tune.study import REASON, RECIPE, VALUES, counted

SCHEMA = "edgetune.search/1"
STATES = {"complete": "finished", "fail": "failed", "pruned": "given up"}


def describe(
    study: optuna.Study,
    recipe: Recipe,
    baseline: Baseline,
    space: Sequence[Dimension],
    storage: str,
    *,
    int8: bool,
) -> dict[str, Any]:
    """All trials, the Pareto front, its hypervolume over the trials, and the engine that was chosen."""
    trials = counted(study.get_trials(deepcopy=False))
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    points = [to_minimise(trial.values) for trial in finished]
    best, reasons = chosen(trials, recipe, baseline)
    over, workers = sum(trial.state.is_finished() for trial in trials), worker_names(trials)
    made = None if best is None else wanted(recipe, best.user_attrs[VALUES], int8=int8).recipe
    reference = reference_point(baseline, recipe.search)
    hungry = {"energy_ratio": 1.0} if recipe.search.energy else {}
    return {
        "schema": SCHEMA,
        "edgetune": __version__,
        "optuna": optuna.__version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "study": study.study_name,
        "storage": storage,
        "model": recipe.model.name,
        "target": baseline.target.name,
        "sampler": recipe.search.sampler,
        "seed": recipe.search.seed,
        "objectives": ["accuracy", "latency_ratio", *_more(recipe.search)],
        "trials_wanted": recipe.search.trials,
        "complete": over >= recipe.search.trials and over == len(trials),
        "validation_samples": baseline.samples,
        "float": {"accuracy": baseline.accuracy, "size_bytes": baseline.size_bytes},
        "budget": budget_of(recipe),
        "give_up_points": recipe.search.give_up_points,
        "stop_points": recipe.search.stop_points,
        "space": [_dimension(dimension) for dimension in space],
        "trials": [_trial(trial, workers.get(trial.number), recipe, baseline) for trial in trials],
        "front": [finished[i].number for i in sorted(front(points), key=lambda i: points[i][1])],
        "hypervolume": {
            "reference": {
                "accuracy": 1.0 - reference[0],
                "latency_ratio": 1.0,
                "size_ratio": 1.0,
                **hungry,
            },
            "by_trial": [
                {"number": trial.number, "value": hypervolume(points[: i + 1], reference)}
                for i, trial in enumerate(finished)
            ],
        },
        "chosen_trial": None if best is None else best.number,
        "reason": reasons,
        "changed": []
        if made is None
        else [
            {"name": f"{section}.{key}", "from": _plain(getattr(getattr(recipe, section), key)), "to": value}
            for (section, key), value in changes(recipe, made).items()
        ],
    }


def _more(spec: SearchSpec) -> list[str]:
    """Objectives beside accuracy and latency."""
    return ["size_ratio"] * spec.size + ["energy_ratio"] * spec.energy


def to_minimise(values: Sequence[float]) -> Point:
    """Objectives with the share of errors in place of the accuracy, so that all are to be small."""
    return (1.0 - values[0], *values[1:])


def reference_point(baseline: Baseline, spec: SearchSpec) -> Point:
    """As wrong as the most frequent class for everything, as slow as float, and if asked as large and hungry."""
    return (1.0 - baseline.chance, *([1.0] * (1 + spec.size + spec.energy)))


def chosen(trials: Sequence[FrozenTrial], recipe: Recipe, baseline: Baseline) -> tuple[FrozenTrial | None, list[str]]:
    """The engine that a build would ship if all were its candidates, by ``measure.selection``; and why.

    One that is over the limits of latency or size is not chosen.
    """
    finished = {f"trial {trial.number}": trial for trial in trials if trial.state is TrialState.COMPLETE}
    candidates = [as_candidate(trial.number, trial.user_attrs[RESULT]) for trial in finished.values()]
    float_engine = {
        "name": BASELINE,
        "status": "measured",
        "selection": {"split": "val", "accuracy": baseline.accuracy, "n": baseline.samples},
    }
    name, reasons = select([float_engine, *candidates], budget_of(recipe))
    best = finished.get(name)
    if best is not None and not over_limits(as_candidate(best.number, best.user_attrs[RESULT]), budget_of(recipe)):
        return best, reasons
    return None, [*reasons[:-1], "So none was chosen."] if finished else ["No trial has an engine, so none was chosen."]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _dimension(d: Dimension) -> dict[str, Any]:
    return (
        {"name": d.name, "choices": list(d.choices)}
        if d.choices
        else {"name": d.name, "low": d.low, "high": d.high, "log": d.log}
    )


def _trial(trial: FrozenTrial, worker: str | None, recipe: Recipe, baseline: Baseline) -> dict[str, Any]:
    attributes, state = trial.user_attrs, trial.state.name.lower()
    result = attributes.get(RESULT) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None
    seconds = (
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        if (trial.datetime_complete and trial.datetime_start)
        else None
    )
    limits = {} if result is None else broken(result, baseline.accuracy, recipe)
    return {
        "number": trial.number,
        "state": STATES.get(state, state),
        "recipe": bool(attributes.get(RECIPE)),
        "values": dict(attributes.get(VALUES, {})),
        "engine": result and result["engine"],
        "recovered_accuracy": result and result["recovered_accuracy"],
        "recovery": (result and result.get("recovery")) or [],
        "stopped": result and result.get("stopped"),
        "accuracy": result and result["accuracy"],
        "speedup": result and result["speedup"],
        "latency_ms": result and result["latency_ms"],
        "float_ms": result and result["float_ms"],
        "size_bytes": result and result["size_bytes"],
        "energy_ratio": result and result.get("energy_ratio"),
        "inside_budget": None if result is None else all(value <= 0 for value in limits.values()),
        "seconds": seconds,
        "worker": worker,
        "again_after": trial.system_attrs.get("retry_history", []),
        "workers_lost": attributes.get(LOSSES, 0),
        "reason": attributes.get(REASON),
    }
