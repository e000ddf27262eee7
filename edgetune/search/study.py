"""One search over compression: its name in the storage, its first trials, how it samples."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from edgetune.hashing import digest_json
from edgetune.plan import make_trial_plan
from edgetune.plan.candidates import FLOAT, UNPRUNED
from edgetune.records import Dimension, Facts, Recipe, SearchSpec, Target
from edgetune.search.values import first_values
from edgetune.tune.study import RECIPE, find_or_make

PREFIX = "edgetune-search-"
RANDOM_TRIALS = 8  # before TPE learns from those that were, the recipe's own among them
POPULATION = 10  # of NSGA-II: searches have tens of trials, not thousands


def identity(recipe: Recipe, target: Target, facts: Facts, space: Sequence[Dimension]) -> dict[str, Any]:
    """What two workers must have in common, by where it is written."""
    steps = {step.name: step for step in make_trial_plan(recipe, target, facts, UNPRUNED, FLOAT).steps}
    model, spec = recipe.model, recipe.search
    data, weights, code, processor = (facts.sources[name] for name in ("data", "weights", "code", "processor"))
    size = [recipe.data.image_size, recipe.data.max_length]
    parts = {
        "[model], its weights or its code": [model.name, dict(model.args), model.pretrained, weights, code],
        "[data] or the files": [steps["check_data"].params, size, data],
        "[finetune]": asdict(recipe.finetune),
        "[prune]": asdict(recipe.prune),
        "[quantize]": asdict(recipe.quantize),
        "[budget]": asdict(recipe.budget),
        "[bench]": asdict(recipe.bench),
        "[search]": [
            spec.size,
            spec.give_up_points,
            *(["energy"] if spec.energy else []),
            *([{"stop_points": spec.stop_points}] if spec.stop_points != SearchSpec().stop_points else []),
        ],
        "[search.space]": [asdict(dimension) for dimension in space],
        "the target": asdict(target),
        "the processor": processor,
        "seed": recipe.seed,
        "the version of edgetune": {name: step.version for name, step in steps.items()},
    }
    return {name: digest_json(part) for name, part in parts.items()}


def open_study(
    storage: BaseStorage,
    recipe: Recipe,
    space: Sequence[Dimension],
    parts: dict[str, Any],
    *,
    int8: bool,
    join: bool,
) -> optuna.Study:
    """The search that is there, else (unless it is to ``join`` one) a new one.

    Its first trials are the engines that the recipe itself would build.

    Raises:
        InputError: there is none to join; it says what differs from the one that is there.
    """
    first = [(values, {RECIPE: bool(values)}) for values in first_values(recipe, space, int8=int8)]
    smaller = [StudyDirection.MINIMIZE] * (1 + recipe.search.size + recipe.search.energy)
    return find_or_make(
        storage, PREFIX, parts, first, join=join, directions=[StudyDirection.MAXIMIZE, *smaller], how=how(recipe)
    )


def how(recipe: Recipe) -> dict[str, Any]:
    """The pruner and the sampler that a study is opened with."""
    return {"pruner": NopPruner(), "sampler": make_sampler(recipe, 0)}


def make_sampler(recipe: Recipe, number: int) -> BaseSampler:
    """Multi-objective TPE (Ozaki et al. 2022), NSGA-II (Deb et al. 2002) or chance; a generator of its own each trial.

    So a search that was stopped goes on as it would have, and workers do not draw the same values. Trials outside of
    the budget are worse than all inside: TPE and NSGA-II read the trials' constraints.
    """
    seed = (recipe.search.seed * 1_000_003 + number) % 2**32
    if recipe.search.sampler == "nsga2":
        return NSGAIISampler(population_size=POPULATION, seed=seed)
    if recipe.search.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
