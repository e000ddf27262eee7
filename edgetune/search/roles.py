"""Training workers and device workers of one search, which may be different machines.

Who measures makes the study and tells it on which device; who trains takes that for its own in plans, so that both know
every step by the same key. Networks travel through the shared store: each side waits there for the steps that the
other makes. A trial belongs to who trains it: when its network is handed over, the trial says so; who measures claims
it, makes and times the engine, and writes the result into the trial.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from edgetune import pipeline
from edgetune.errors import DeviceError, EdgetuneError, InputError, Interrupted, StoreError
from edgetune.plan import make_trial_plan
from edgetune.plan.candidates import FLOAT, UNPRUNED
from edgetune.progress import Reporter
from edgetune.records import Dimension, Plan, Recipe, Target
from edgetune.search.hopeless import RESULT, watched
from edgetune.search.study import PREFIX
from edgetune.search.trial import (
    DEVICE_SOURCES,
    Baseline,
    is_over,
    make_engine,
    make_network,
    run_up_to,
    surroundings_of,
)
from edgetune.search.values import RATIO, SPEEDUP, Wanted, wanted
from edgetune.store import Store
from edgetune.surroundings import Surroundings
from edgetune.tune.liveness import began, being_queued, place
from edgetune.tune.study import PARTS, VALUES, counted
from edgetune.tune.training import OneLine
from edgetune.tune.worker import Search

ALL, TRAIN, MEASURE = "all", "train", "measure"
# Steps of a search that who measures leaves to who trains, and the other way round.
TRAINED = frozenset({"finetune", "prune", "prune_encoder"})
MEASURED = frozenset({"time_layers", "time_encoder", "float_layers", "compile", "evaluate", "measure"})
LEAVES = {ALL: frozenset[str](), TRAIN: MEASURED, MEASURE: TRAINED}
DEVICE, BASELINE = "edgetune:device", "edgetune:baseline"  # of the study
NETWORK, CLAIM, REFUSED = "edgetune:network", "edgetune:claim", "edgetune:refused"  # of a trial
PROCESSOR = "the processor"  # the part of a search's identity that a training worker need not share
LOOK_EVERY_SECONDS = 1.0
APPEAR_SECONDS = 30.0  # for the study of who measures
CLAIM_SECONDS = 900.0  # after which another takes over what a device worker has begun
TRAINING_LIBRARIES = ("edgetune", "torch", "torchvision", "torch-pruning", "numpy")


def check_role(role: str, recipe: Recipe, space: tuple[Dimension, ...], store: Store) -> None:
    """Whether this search can be divided so.

    Raises:
        InputError: without a shared store; a pruning that is steered by the device's own times.
    """
    if role == ALL:
        return
    if store.remote is None:
        raise InputError(
            f"--work {role} needs a place that the machines share", hint="add --cache-url FOLDER or s3://BUCKET/PREFIX"
        )
    names = {dimension.name for dimension in space}
    if SPEEDUP in names or (RATIO not in names and recipe.prune.target_speedup):
        raise InputError(
            "`prune.target_speedup` is steered by layers that are timed on the device while it prunes",
            hint="search `prune.ratio`, or let every worker do both (without --work)",
        )


def announce_device(study: optuna.Study, surroundings: Surroundings) -> None:
    """Say in the study where engines run, and with which libraries networks are to be made."""
    facts = surroundings.facts
    sources = {name: value for name, value in facts.sources.items() if name.startswith(DEVICE_SOURCES)}
    versions = {name: pipeline.library_versions()[name] for name in TRAINING_LIBRARIES}
    study.set_user_attr(DEVICE, {"sources": sources, "untimed": dict(facts.untimed), "versions": versions})


def announce_baseline(study: optuna.Study, baseline: Baseline) -> None:
    """Say in the study what the float engine is."""
    told = {name: getattr(baseline, name) for name in ("accuracy", "size_bytes", "samples", "chance")}
    study.set_user_attr(BASELINE, told)


def as_if_there(surroundings: Surroundings, target: str) -> Surroundings:
    """As if engines of ``target`` ran here; for whom they run on another machine."""
    return replace(surroundings, facts=replace(surroundings.facts, unavailable={target: None}))


def join_training(storage: Any, parts: Mapping[str, str], how: Mapping[str, Any]) -> optuna.Study:
    """The study of a device worker for the same recipe and data, on whatever processor.

    Raises:
        InputError: there is none, or several.
    """
    wanted_parts = {name: part for name, part in parts.items() if name != PROCESSOR}
    end = time.monotonic() + APPEAR_SECONDS
    while True:
        found = [
            summary.study_name
            for summary in optuna.get_all_study_summaries(storage, include_best_trial=False)
            if summary.study_name.startswith(PREFIX)
            and DEVICE in summary.user_attrs
            and {k: v for k, v in summary.user_attrs.get(PARTS, {}).items() if k != PROCESSOR} == wanted_parts
        ]
        if len(found) == 1:
            return optuna.load_study(study_name=found[0], storage=storage, **how)
        if found:
            raise InputError(
                "several devices have a search of this recipe in this storage",
                hint="give each one a storage of its own",
            )
        if time.monotonic() > end:
            raise InputError(
                "no device has begun a search of this recipe and these data in this storage",
                hint="start `edgetune search --work measure` there first, with the same recipe, data and --storage",
            )
        time.sleep(LOOK_EVERY_SECONDS)


def device_of(study: optuna.Study, surroundings: Surroundings) -> Surroundings:
    """``surroundings`` with the device that the study's engines run on.

    Raises:
        InputError: other libraries here than there: networks would be other steps.
    """
    told = study.user_attrs[DEVICE]
    ours = pipeline.library_versions()
    theirs = told["versions"].items()
    if differ := [f"{name} {ours[name]} (there {version})" for name, version in theirs if ours[name] != version]:
        raise InputError(
            f"other libraries here than where engines run: {', '.join(differ)}", hint="install the same there"
        )
    facts = surroundings.facts
    facts = replace(facts, sources={**facts.sources, **told["sources"]}, untimed=told["untimed"])
    return replace(surroundings, facts=facts)


def baseline_for_training(search: Search, target: Target) -> Baseline:
    """Make the float network, hand it over, and wait for what its engine is."""
    plan = make_trial_plan(search.recipe, target, search.surroundings.facts, UNPRUNED, FLOAT)
    run_up_to(plan, _last_trained(plan), search.store, search.surroundings, search.reporter)
    search.reporter.say("waiting for the device to judge the float engine")
    while BASELINE not in (told := search.ask(lambda: search.study.user_attrs)):
        time.sleep(LOOK_EVERY_SECONDS)
    return Baseline(target=target, compiled="", outcomes={}, **told[BASELINE])


def make_elsewhere(
    baseline: Baseline, engine: Wanted, search: Search, trial: Trial, reporter: Reporter
) -> dict[str, Any]:
    """Train the network of a trial and wait for what the device makes of it: as of ``trial.make_engine``.

    Raises:
        EdgetuneError: from a step, here or there.
    """
    around = surroundings_of(engine.recipe, search.recipe, search.surroundings, baseline.target)
    plan = make_trial_plan(engine.recipe, baseline.target, around.facts, engine.pruning, engine.precision)
    watch = watched(search, trial, baseline.accuracy, engine)
    result = make_network(plan, _last_trained(plan), search.store, around, reporter, watch)
    if is_over(result, baseline, engine.recipe):
        return result
    search.ask(lambda: trial.set_user_attr(NETWORK, True))
    reporter.say("trained; waiting for the device")
    while True:
        told = search.ask(lambda: _frozen(search, trial.number).user_attrs)
        if REFUSED in told:
            raise EdgetuneError(f"on the device: {told[REFUSED]}")
        if RESULT in told:
            return dict(told[RESULT])
        time.sleep(LOOK_EVERY_SECONDS)


def measure_for_others(search: Search, baseline: Baseline, int8: bool, deadline: float | None) -> bool:
    """Make and time the engines of trained networks until all trials are done; False: the time is up."""
    while True:
        trials = counted(search.ask(lambda: search.study.get_trials(deepcopy=False)))
        ended = len(trials) >= search.trials and all(trial.state.is_finished() for trial in trials)
        if ended and not being_queued(trials):
            return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        trial = next((trial for trial in trials if _to_measure(trial)), None)
        if trial is None:
            time.sleep(LOOK_EVERY_SECONDS)
            continue
        _tell(search, trial, CLAIM, {"place": place(), "pid": os.getpid(), "began": began("self"), "at": time.time()})
        name, value = _measured(search, baseline, int8, trial)
        _tell(search, trial, name, value)


def _measured(search: Search, baseline: Baseline, int8: bool, trial: FrozenTrial) -> tuple[str, Any]:
    """What to write into the trial, and under which name."""
    engine, reporter = wanted(search.recipe, trial.user_attrs[VALUES], int8=int8), search.reporter
    try:
        shown = OneLine(reporter, f"trial {trial.number}")
        result = make_engine(baseline, engine, search.recipe, search.store, search.surroundings, shown)
    except (StoreError, Interrupted, InputError, DeviceError):  # not this trial's fault
        raise
    except EdgetuneError as error:
        reporter.say(f"trial {trial.number}: failed: {error.message}")
        return REFUSED, error.message
    except Exception as error:  # noqa: BLE001 - libraries fail in ways of their own on odd networks
        reporter.say(f"trial {trial.number}: failed: {error}")
        return REFUSED, f"unexpected {type(error).__name__}: {error}"
    told = "given up" if result["speedup"] is None else f"{result['speedup']['value']:.2f}x float"
    reporter.say(f"trial {trial.number}: {told}")
    return RESULT, result


def _to_measure(trial: FrozenTrial) -> bool:
    told = trial.user_attrs
    if trial.state is not TrialState.RUNNING or NETWORK not in told or RESULT in told or REFUSED in told:
        return False
    claim = told.get(CLAIM)
    if claim is None or time.time() - claim["at"] > CLAIM_SECONDS:
        return True
    return bool(claim["place"] == place() and claim["began"] != began(claim["pid"]))  # its worker is gone


def _tell(search: Search, trial: FrozenTrial, name: str, value: Any) -> None:
    """Write into a trial that another worker holds; one that was taken back meanwhile will come again."""
    try:
        search.ask(lambda: search.study._storage.set_trial_user_attr(trial._trial_id, name, value))
    except UpdateFinishedTrialError:
        search.reporter.say(f"trial {trial.number}: its training worker has gone; another will take it up")


def _frozen(search: Search, number: int) -> FrozenTrial:
    return next(trial for trial in search.study.get_trials(deepcopy=False) if trial.number == number)


def _last_trained(plan: Plan) -> str:
    return [step.id for step in plan.steps if step.name in TRAINED][-1]
