"""Make one engine after the other, each chosen by what the others came to, until nothing better is to be expected."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgetune import pipeline
from edgetune.controller.decide import Decision, Result, decide
from edgetune.controller.ladder import climbs, ladder
from edgetune.controller.words import ended, told, verdict
from edgetune.measure.selection import is_inside, over_limits, trade_off
from edgetune.measure.statistics import speedup_over_loads
from edgetune.measure.validation import on_validation
from edgetune.pipeline import Outcome
from edgetune.plan import make_plan, make_rung_plan
from edgetune.plan.candidates import BASELINE, FLOAT
from edgetune.progress import Reporter
from edgetune.records import BudgetSpec, Candidate, Facts, Plan, Recipe, Rung, Target
from edgetune.store import Store
from edgetune.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """A build: its plan with the engines that were made, what became of its steps, and each target's journal.

    ``done`` has also what was evaluated and timed on the way to these engines.
    """

    plan: Plan
    outcomes: dict[str, Outcome]
    done: dict[str, Outcome]
    journals: Mapping[str, dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class _Climb:
    """One build's way up; ``outcomes`` grow, and nothing of them is made twice."""

    recipe: Recipe
    facts: Facts
    store: Store
    carry_out: Callable[[Plan, Mapping[str, Outcome], str | None], dict[str, Outcome]]
    say: Callable[[str], None]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, plan: Plan, part: str | None = None) -> None:
        """Add what becomes of the steps of ``plan``; ``part`` of the build it is."""
        self.outcomes = self.carry_out(plan, self.outcomes, part)

    def hours(self) -> float:
        """Of work in the steps so far, each with what it took when it ran.

        Not the time on the clock: so the same command comes to the same end after an interruption, and from the store.
        """
        return sum(self._seconds(outcome) for outcome in self.outcomes.values()) / 3600

    def over(self, target: Target, rung: Rung) -> str | None:
        """Why there is no time for ``rung``, as far as what was done tells; None: there is, or no limit."""
        most, spent = self.recipe.budget.max_hours, self.hours()
        if most is None:
            return None
        if spent >= most:
            return f"`max_hours = {most:g}` were over ({spent:.2g} hours of work)"
        foreseen = self.foreseen(target, rung)
        if spent + foreseen <= most:
            return None
        took = f"{spent:.2g} hours of work, and its steps took {foreseen:.2g} for other engines"
        return f"`max_hours = {most:g}` would have been over ({took})"

    def foreseen(self, target: Target, rung: Rung) -> float:
        """Hours of the steps that ``rung`` still needs, each as long as the longest of its name; unknown ones are 0.

        Of this build alone, not of the whole store as ``edgetune.likeness`` has it for a preview, so that the same
        command comes to the same end whatever else was built and used since.
        """
        longest: dict[str, float] = {}
        for outcome in self.outcomes.values():
            name = outcome.step.name
            longest[name] = max(self._seconds(outcome), longest.get(name, 0.0))
        steps = make_rung_plan(self.recipe, target, self.facts, rung).steps
        return sum(longest.get(step.name, 0.0) for step in steps if step.id not in self.outcomes) / 3600

    def _seconds(self, outcome: Outcome) -> float:
        if outcome.artifact is None:
            return outcome.seconds
        return float(self.store.facts(outcome.artifact)["seconds"])


def build(
    recipe: Recipe,
    targets: tuple[Target, ...],
    surroundings: Surroundings,
    store: Store,
    reporter: Reporter,
) -> Climbed:
    """Climb for each target that is left to the controller, then measure, choose and bundle all that was made.

    Raises:
        EdgetuneError: from a step that every engine needs; from a rung only what is no engine's fault.
    """

    def carry_out(plan: Plan, known: Mapping[str, Outcome], part: str | None) -> dict[str, Outcome]:
        return pipeline.run(plan, store, surroundings, reporter, known=known, part=part)

    facts = surroundings.facts
    climb = _Climb(recipe=recipe, facts=facts, store=store, carry_out=carry_out, say=reporter.say)
    rungs: dict[str, list[Rung]] = {}
    journals: dict[str, dict[str, Any]] = {}
    for target in targets:
        if climbs(recipe, target, facts):
            results: dict[Rung, Result] = {}
            journals[target.name] = _climb(climb, target, results)
            rungs[target.name] = list(results)
    plan = make_plan(recipe, targets, facts, rungs)
    climb.run(plan)
    ours = {step.id for step in plan.steps}
    outcomes = {name: found for name, found in climb.outcomes.items() if name in ours}
    return Climbed(plan=plan, outcomes=outcomes, done=climb.outcomes, journals=journals)


def foresee(recipe: Recipe, targets: tuple[Target, ...], facts: Facts, store: Store) -> dict[str, list[Rung]]:
    """The rungs of each target that is left to the controller: those in the store, then those that may come yet.

    Goes the way that a build would, as far as its steps are in the store; makes nothing.
    """

    def carry_out(plan: Plan, known: Mapping[str, Outcome], part: str | None) -> dict[str, Outcome]:
        found = pipeline.recall(plan, store, known)
        if any(step.id not in found for step in plan.steps):
            raise _NotMadeYet
        return found

    climb = _Climb(recipe=recipe, facts=facts, store=store, carry_out=carry_out, say=lambda text: None)
    rungs: dict[str, list[Rung]] = {}
    for target in targets:
        if not climbs(recipe, target, facts):
            continue
        results: dict[Rung, Result] = {}
        rungs[target.name] = []
        try:
            _climb(climb, target, results)
        except _NotMadeYet:
            ways = ladder(recipe, target)
            skipped = _decide(climb, target, ways, results).skipped
            rungs[target.name] = [rung for rung in ways if rung not in results and rung not in skipped]
        rungs[target.name] = [*results, *rungs[target.name]]
    return rungs


class _NotMadeYet(Exception):
    """A step is not in the store, so that what comes after it cannot be foreseen."""


def _climb(climb: _Climb, target: Target, results: dict[Rung, Result]) -> dict[str, Any]:
    """Try rungs for ``target``, putting what they come to into ``results``; returns the journal that tells of them."""
    budget, start = climb.recipe.budget, climb.hours()
    ways = ladder(climb.recipe, target)
    baseline = _attempt(climb, target, BASELINE, None)
    engines = [baseline]
    rows = [_row(FLOAT, baseline, None, budget, climb.hours() - start)]
    while (made := _decide(climb, target, ways, results)).rung is not None:
        before = climb.hours()
        found = _attempt(climb, target, made.rung, baseline)
        results[made.rung] = _result(found, baseline, budget)
        engines.append(found)
        rows.append(_row(found["name"], found, results[made.rung], budget, climb.hours() - before))
        climb.say(f"[{found['name']}] {told(rows[-1])}")
    skipped = [{"name": _name(climb, target, rung), "reason": why} for rung, why in made.skipped.items()]
    journal = {
        "rungs": rows,
        "not_tried": skipped,
        "hours": climb.hours() - start,
        "max_hours": budget.max_hours,
        "trade_off": trade_off(engines),
    }
    journal["summary"] = ended(journal)
    return journal


def _decide(climb: _Climb, target: Target, ways: tuple[Rung, ...], results: Mapping[Rung, Result]) -> Decision:
    budget = climb.recipe.budget
    limited = budget.max_latency_ms is not None or budget.max_size_mb is not None
    return decide(ways, results, limited=limited, over=partial(climb.over, target))


def _attempt(climb: _Climb, target: Target, rung: Rung, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """The engine as a candidate of ``measure.selection``; where a step failed, with its ``reason`` and no numbers."""
    plan = make_rung_plan(climb.recipe, target, climb.facts, rung)
    (candidate,) = plan.candidates
    climb.run(plan, candidate.name)
    failed = next((why for step in plan.steps if (why := climb.outcomes[step.id].reason) is not None), None)
    if failed is not None:
        return {"name": candidate.name, "status": "failed", "reason": failed}
    right = _right(climb, candidate)
    budget = climb.recipe.budget
    selection = on_validation(
        right if baseline is None else baseline["right"],
        right,
        max_accuracy_drop=budget.max_accuracy_drop,
        confidence=budget.confidence,
    )
    found = {"name": candidate.name, "status": "measured", "reason": None, "selection": selection, "right": right}
    if baseline is None:
        return {**found, "speedup": None}
    raw = _read(_folder(climb, plan.steps[-1].id) / "latency.json")["engines"]
    ours, floats = raw[candidate.name], raw[FLOAT]
    return {
        **found,
        "speedup": speedup_over_loads(
            floats["values"],
            ours["values"],
            runs_per_round=ours["runs_per_round"],
            runs_by_load=ours["runs_by_load"],
        ),
        "latency_ms": {"p50": float(np.median(ours["values"]))},
        "size_bytes": _size(climb, candidate),
    }


def _result(found: Mapping[str, Any], baseline: Mapping[str, Any], budget: BudgetSpec) -> Result:
    if found["status"] == "failed":
        return Result(failed=True)
    limits = _plain(budget)
    return Result(
        drop_points=100.0 * (baseline["selection"]["accuracy"] - found["selection"]["accuracy"]),
        inside=is_inside(baseline, found, limits),
        faster=found["speedup"]["ci95"][0] > 1.0,
        speedup=found["speedup"]["value"],
        fits=not over_limits(found, limits),
    )


def _row(
    name: str, found: Mapping[str, Any], result: Result | None, budget: BudgetSpec, hours: float
) -> dict[str, Any]:
    """A rung in the journal; ``result`` is None of the float engine."""
    failed = found["status"] == "failed"
    return {
        "name": name,
        "accuracy": None if failed else found["selection"]["accuracy"],
        "drop_points": None if failed or result is None else result.drop_points,
        "speedup": None if failed else found["speedup"],
        "hours": hours,
        "ships": False if result is None else result.ships,
        "verdict": "the baseline" if result is None else verdict(found, result, _plain(budget)),
    }


def _plain(budget: BudgetSpec) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in budget.__dataclass_fields__}


def _name(climb: _Climb, target: Target, rung: Rung) -> str:
    (candidate,) = make_rung_plan(climb.recipe, target, climb.facts, rung).candidates
    return candidate.name


def _right(climb: _Climb, candidate: Candidate) -> Any:
    """Bool [N], of each validation sample."""
    assert candidate.evaluate_step is not None  # the controller is for targets that run here
    with np.load(_folder(climb, candidate.evaluate_step) / "logits.npz") as arrays:
        return arrays["val_logits"].argmax(1) == arrays["val_labels"]


def _size(climb: _Climb, candidate: Candidate) -> int:
    assert candidate.compile_step is not None
    manifest = _read(_folder(climb, candidate.compile_step) / "engine" / "manifest.json")
    return int(manifest["files"][manifest["engine"]["file"]]["size"])


def _folder(climb: _Climb, step: str) -> Path:
    artifact = climb.outcomes[step].artifact
    assert artifact is not None  # of steps that failed nothing is asked
    return artifact.path


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
