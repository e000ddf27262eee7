"""A trial of ``edgetune search``: one engine, made as a build makes it, and timed beside the recipe's float engine."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import Trial, TrialState

from edgetune import pipeline
from edgetune.errors import DeviceError, EdgetuneError, InputError, Interrupted, MeasureError, SetAside, StoreError
from edgetune.measure.energy import energy_ratio
from edgetune.measure.selection import over_limits
from edgetune.measure.statistics import speedup_over_loads
from edgetune.pipeline import Outcome
from edgetune.plan import make_pair_plan, make_trial_plan
from edgetune.plan.candidates import FLOAT, UNPRUNED
from edgetune.progress import Reporter, Watch, unwatched
from edgetune.records import Candidate, Plan, Recipe, SearchSpec, Target
from edgetune.search.hopeless import RESULT, Recovering, Stop, hopeless, watched
from edgetune.search.values import Wanted, wanted
from edgetune.store import Store
from edgetune.surroundings import Surroundings, look_around
from edgetune.tune.training import OneLine, announce, read_history
from edgetune.tune.worker import Search, Tried

DEVICE_SOURCES = ("device", "processor")  # of a plan's facts: those about where engines run
TRIAL = "trial"  # the engine's name beside "float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The recipe's float engine, which all others are timed beside."""

    target: Target
    compiled: str  # id of the step that made it
    outcomes: Mapping[str, Outcome]
    accuracy: float  # on validation
    size_bytes: int
    samples: int  # of validation
    chance: float  # share of validation's most frequent class


def make_baseline(
    recipe: Recipe, target: Target, store: Store, surroundings: Surroundings, reporter: Reporter
) -> Baseline:
    """Make the recipe's float engine and evaluate it on validation.

    Raises:
        EdgetuneError: from any step.
    """
    plan = make_trial_plan(recipe, target, surroundings.facts, UNPRUNED, FLOAT)
    outcomes = pipeline.run(plan, store, surroundings, reporter)
    (candidate,) = plan.candidates
    assert candidate.compile_step is not None  # only targets that run here are searched
    counts = list(_read(_folder(outcomes, "check-data") / "dataset.json")["counts"]["val"].values())
    return Baseline(
        target=target,
        compiled=candidate.compile_step,
        outcomes=outcomes,
        accuracy=_accuracy(outcomes, candidate),
        size_bytes=_size(outcomes, candidate),
        samples=sum(counts),
        chance=max(counts) / sum(counts),
    )


Make = Callable[[Baseline, Wanted, Search, Trial, Reporter], dict[str, Any]]
"""What comes of the engine of a trial, as of ``make_engine``."""


def make_here(baseline: Baseline, engine: Wanted, search: Search, trial: Trial, reporter: Reporter) -> dict[str, Any]:
    """All of it by this process."""
    watch = watched(search, trial, baseline.accuracy, engine)
    return make_engine(baseline, engine, search.recipe, search.store, search.surroundings, reporter, watch)


def attempt(
    baseline: Baseline, int8: bool, make: Make, search: Search, trial: Trial, values: Mapping[str, Any]
) -> Tried:
    """Build, evaluate and time the engine of ``values``."""
    announce(search, trial, values, "an engine of the recipe")
    reporter, started = OneLine(search.reporter, f"trial {trial.number}"), time.monotonic()
    engine = wanted(search.recipe, values, int8=int8)
    try:
        result = make(baseline, engine, search, trial, reporter)
    except (StoreError, Interrupted, InputError, DeviceError):  # not this trial's fault
        raise
    except EdgetuneError as error:
        return _failed(search, trial, error.message)
    except Exception as error:  # noqa: BLE001 - libraries fail in ways of their own on odd networks
        return _failed(search, trial, f"unexpected {type(error).__name__}: {error}")
    search.ask(lambda: trial.set_user_attr(RESULT, result))
    for name, value in broken(result, baseline.accuracy, search.recipe).items():
        search.ask(lambda name=name, value=value: trial.set_constraint(name, value))  # type: ignore[misc]
    seconds = time.monotonic() - started
    if result["speedup"] is None:
        why = f"{result['recovered_accuracy']:.1%} on validation after recovery: hopeless, not quantized and not timed"
        if result["stopped"]:
            why = str(Stop(**result["stopped"]))
        search.reporter.say(f"trial {trial.number}: given up after {seconds:.0f} s: {why}")
        return Tried(state=TrialState.PRUNED, reason=why)
    limits = over_limits(as_candidate(trial.number, result), budget_of(search.recipe))
    search.reporter.say(
        f"trial {trial.number}: {result['accuracy']:.1%} on validation, {result['speedup']['value']:.2f}x float, "
        f"{result['size_bytes'] / 1e3:.0f} kB ({seconds:.0f} s){'; ' if limits else ''}{', '.join(limits)}"
    )
    return Tried(state=TrialState.COMPLETE, values=objectives(result, baseline, search.recipe.search))


def objectives(result: Mapping[str, Any], baseline: Baseline, spec: SearchSpec) -> list[float]:
    """Accuracy (to be large), latency over float's, and if ``spec`` wants them size and energy over float's."""
    found = [result["accuracy"], 1.0 / result["speedup"]["value"]]
    found += [result["size_bytes"] / baseline.size_bytes] if spec.size else []
    return [*found, result["energy_ratio"]] if spec.energy else found


def broken(result: Mapping[str, Any], float_accuracy: float, recipe: Recipe) -> dict[str, float]:
    """By how much each limit of ``[budget]`` is broken, above 0, or kept."""
    budget = recipe.budget
    accuracy = result["recovered_accuracy"] if result["accuracy"] is None else result["accuracy"]
    found = {"max_accuracy_drop": 100.0 * (float_accuracy - accuracy) - budget.max_accuracy_drop - 1e-9}
    if budget.max_latency_ms is not None and result["latency_ms"] is not None:
        found["max_latency_ms"] = result["latency_ms"] / budget.max_latency_ms - 1.0
    if budget.max_size_mb is not None and result["size_bytes"] is not None:
        found["max_size_mb"] = result["size_bytes"] / 1e6 / budget.max_size_mb - 1.0
    return found


def as_candidate(number: int, result: Mapping[str, Any]) -> dict[str, Any]:
    """The engine of a trial as ``measure.selection`` looks at it."""
    return {
        "name": f"trial {number}",
        "status": "measured",
        "selection": {"split": "val", "accuracy": result["accuracy"]},
        "speedup": result["speedup"],
        "latency_ms": {"p50": result["latency_ms"]},
        "size_bytes": result["size_bytes"],
    }


def budget_of(recipe: Recipe) -> dict[str, Any]:
    """``[budget]`` as ``measure.selection`` takes it; a search goes by point estimates."""
    names = ("max_accuracy_drop", "max_latency_ms", "max_size_mb")
    return {name: getattr(recipe.budget, name) for name in names}


def make_engine(
    baseline: Baseline,
    engine: Wanted,
    own: Recipe,
    store: Store,
    surroundings: Surroundings,
    reporter: Reporter,
    watch: Recovering | None = None,
) -> dict[str, Any]:
    """Make, judge and time ``engine`` beside the baseline, the float engine of the searcher's ``own`` recipe.

    Args:
        watch: may stop the recovery.

    Returns:
        What is kept of a trial; accuracy, speed-up and size are None where the network was hopeless.
    """
    recipe, target = engine.recipe, baseline.target
    around = surroundings_of(recipe, own, surroundings, target)
    plan = make_trial_plan(recipe, target, around.facts, engine.pruning, engine.precision)
    (candidate,) = plan.candidates
    result = make_network(plan, candidate.network_step, store, around, reporter, watch)
    if is_over(result, baseline, recipe):
        return result
    outcomes = run_up_to(plan, plan.steps[-1].id, store, around, reporter)
    assert candidate.compile_step is not None  # only targets that run here are searched
    pair = make_pair_plan(own, target, surroundings.facts, {FLOAT: baseline.compiled, TRIAL: TRIAL})
    known = {**baseline.outcomes, TRIAL: outcomes[candidate.compile_step]}
    timed = pipeline.run(pair, store, surroundings, reporter, known=known)
    measured = _read(_folder(timed, pair.steps[0].id) / "latency.json")
    raw, joules = measured["engines"], measured.get("energy_joules")
    ratio = energy_ratio(joules[FLOAT], joules[TRIAL]) if joules else None
    if own.search.energy and ratio is None:
        raise MeasureError("the energy of an inference could not be read")
    return {
        **result,
        "accuracy": _accuracy(outcomes, candidate),
        "speedup": speedup_over_loads(
            raw[FLOAT]["values"],
            raw[TRIAL]["values"],
            runs_per_round=raw[TRIAL]["runs_per_round"],
            runs_by_load=raw[TRIAL]["runs_by_load"],
        ),
        "latency_ms": float(np.median(raw[TRIAL]["values"])),
        "float_ms": float(np.median(raw[FLOAT]["values"])),
        "size_bytes": _size(outcomes, candidate),
        "energy_ratio": ratio,
    }


def surroundings_of(recipe: Recipe, own: Recipe, surroundings: Surroundings, target: Target) -> Surroundings:
    """What a trial's ``recipe`` is about: another network than one's ``own`` has other code or weights."""
    if recipe.model.name == own.model.name:
        return surroundings
    return on_the_device_of(surroundings, look_around(recipe, (target,)))


def make_network(
    plan: Plan, step: str, store: Store, around: Surroundings, reporter: Reporter, watch: Recovering | None
) -> dict[str, Any]:
    """Make the network of a trial's ``plan``, and return what there is of its result then: no engine.

    ``recovered_accuracy`` is the highest on validation that its training saw, None where nothing was trained;
    ``recovery`` that of each epoch after pruning; ``stopped`` says when ``watch`` has stopped it.
    """
    empty = dict.fromkeys(("accuracy", "speedup", "latency_ms", "float_ms", "size_bytes", "energy_ratio", "stopped"))
    (candidate,) = plan.candidates
    result: dict[str, Any] = {"engine": candidate.name, **empty, "recovery": []}
    before = run_up_to(plan, "finetune", store, around, reporter)  # which is not watched
    try:
        outcomes = run_up_to(plan, step, store, around, reporter, watch or unwatched, before)
    except SetAside:
        assert watch is not None  # it raised this
        assert watch.stop is not None
        return {**result, "recovered_accuracy": watch.stop.accuracy, "stopped": watch.stop.to_json()}
    curve = [row["val_accuracy"] for row in read_history(_artifact(outcomes, step))]
    if candidate.pruning.asked and (epochs := plan.recipe.prune.recovery_epochs):
        result["recovery"] = curve[-epochs:]  # before them come those between steps of pruning
    return {**result, "recovered_accuracy": max(curve, default=None)}


def is_over(result: Mapping[str, Any], baseline: Baseline, recipe: Recipe) -> bool:
    """Whether no engine is made of the network of a ``result``."""
    recovered = result["recovered_accuracy"]
    return bool(result["stopped"]) or (recovered is not None and hopeless(recovered, baseline.accuracy, recipe))


def on_the_device_of(ours: Surroundings, found: Surroundings) -> Surroundings:
    """``found``, with the device that ``ours`` are of: a training worker's is that of who measures for it."""
    theirs = {name: value for name, value in ours.facts.sources.items() if name.startswith(DEVICE_SOURCES)}
    facts = replace(
        found.facts,
        sources={**found.facts.sources, **theirs},
        unavailable=ours.facts.unavailable,
        untimed=ours.facts.untimed,
    )
    return replace(found, facts=facts)


def run_up_to(
    plan: Plan,
    last: str,
    store: Store,
    around: Surroundings,
    reporter: Reporter,
    watch: Watch = unwatched,
    known: Mapping[str, Outcome] | None = None,
) -> dict[str, Outcome]:
    """The steps of ``plan`` up to ``last`` that are not ``known``; whichever fails raises."""
    steps = plan.steps[: 1 + next(number for number, step in enumerate(plan.steps) if step.id == last)]
    part = Plan(recipe=plan.recipe, targets=plan.targets, steps=steps, candidates=(), facts=plan.facts)
    return pipeline.run(part, store, around, reporter, watch, known)


def _failed(search: Search, trial: Trial, why: str) -> Tried:
    search.reporter.say(f"trial {trial.number}: failed: {why}")
    return Tried(state=TrialState.FAIL, reason=why)


def _accuracy(outcomes: Mapping[str, Outcome], candidate: Candidate) -> float:
    metrics = _read(_folder(outcomes, candidate.evaluate_step) / "metrics.json")
    return float(metrics["val"]["accuracy"])


def _size(outcomes: Mapping[str, Outcome], candidate: Candidate) -> int:
    manifest = _read(_folder(outcomes, candidate.compile_step) / "engine" / "manifest.json")
    return int(manifest["files"][manifest["engine"]["file"]]["size"])


def _artifact(outcomes: Mapping[str, Outcome], step: str) -> Any:
    artifact = outcomes[step].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    return artifact


def _folder(outcomes: Mapping[str, Outcome], step: str | None) -> Path:
    assert step is not None  # only targets that run here are searched
    folder: Path = _artifact(outcomes, step).path
    return folder


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
