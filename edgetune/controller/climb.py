"""Make one engine after the other, each chosen by what the others came to, until nothing better is to be expected."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgetune import pipeline
from edgetune.controller.decide import Decision, Result, decide
from edgetune.controller.ladder import climbs, ladder
from edgetune.controller.words import ended, told, verdict
from edgetune.measure.selection import is_inside, over_limits
from edgetune.measure.statistics import speedup_over_loads
from edgetune.measure.validation import on_validation
from edgetune.pipeline import Outcome
from edgetune.plan import BASELINE, FLOAT, make_plan, make_rung_plan
from edgetune.progress import Reporter
from edgetune.records import BudgetSpec, Candidate, Plan, Recipe, Rung, Target
from edgetune.store import Store
from edgetune.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """A build: its plan with the engines that were made, what became of the steps, and each target's journal."""

    plan: Plan
    outcomes: dict[str, Outcome]
    journals: Mapping[str, dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class _Climb:
    """One build's way up; ``outcomes`` grow, and nothing of them is made twice."""

    recipe: Recipe
    store: Store
    surroundings: Surroundings
    reporter: Reporter
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, plan: Plan, part: str | None = None) -> None:
        self.outcomes = pipeline.run(plan, self.store, self.surroundings, self.reporter, known=self.outcomes, part=part)

    def hours(self) -> float:
        """Of work in the steps so far, each with what it took when it ran.

        Not the time on the clock: so the same command comes to the same end after an interruption, and from the store.
        """
        return sum(self._seconds(outcome) for outcome in self.outcomes.values()) / 3600

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
    climb = _Climb(recipe=recipe, store=store, surroundings=surroundings, reporter=reporter)
    rungs: dict[str, list[Rung]] = {}
    journals: dict[str, dict[str, Any]] = {}
    for target in targets:
        if climbs(recipe, target, surroundings.facts):
            rungs[target.name], journals[target.name] = _climb(climb, target)
    plan = make_plan(recipe, targets, surroundings.facts, rungs)
    climb.run(plan)
    ours = {step.id for step in plan.steps}
    outcomes = {name: found for name, found in climb.outcomes.items() if name in ours}
    return Climbed(plan=plan, outcomes=outcomes, journals=journals)


def _climb(climb: _Climb, target: Target) -> tuple[list[Rung], dict[str, Any]]:
    """The rungs that were tried for ``target``, and the journal that tells of them."""
    budget, start = climb.recipe.budget, climb.hours()
    ways = ladder(climb.recipe, target)
    limited = budget.max_latency_ms is not None or budget.max_size_mb is not None
    baseline = _attempt(climb, target, BASELINE, None)
    rows = [_row(FLOAT, baseline, None, budget, climb.hours() - start)]
    results: dict[Rung, Result] = {}
    while (made := _decide(climb, ways, results, limited=limited)).rung is not None:
        before = climb.hours()
        found = _attempt(climb, target, made.rung, baseline)
        results[made.rung] = _result(found, baseline, budget)
        rows.append(_row(found["name"], found, results[made.rung], budget, climb.hours() - before))
        climb.reporter.say(f"[{found['name']}] {told(rows[-1])}")
    skipped = [{"name": _name(climb, target, rung), "reason": why} for rung, why in made.skipped.items()]
    journal = {
        "rungs": rows,
        "not_tried": skipped,
        "hours": climb.hours() - start,
        "max_hours": budget.max_hours,
        "trade_off": _trade_off(rows),
    }
    journal["summary"] = ended(journal)
    return list(results), journal


def _decide(climb: _Climb, ways: tuple[Rung, ...], results: Mapping[Rung, Result], *, limited: bool) -> Decision:
    most, spent = climb.recipe.budget.max_hours, climb.hours()
    over = None if most is None or spent < most else f"`max_hours = {most:g}` were over ({spent:.2g} hours of work)"
    return decide(ways, results, limited=limited, over=over)


def _attempt(climb: _Climb, target: Target, rung: Rung, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """The engine as a candidate of ``measure.selection``; where a step failed, with its ``reason`` and no numbers."""
    plan = make_rung_plan(climb.recipe, target, climb.surroundings.facts, rung)
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


def _trade_off(rows: list[dict[str, Any]]) -> list[str]:
    """Names of the engines that no other beats in both accuracy and speed-up, from accurate to fast."""
    points = [
        (row["name"], row["accuracy"], 1.0 if row["speedup"] is None else row["speedup"]["value"])
        for row in rows
        if row["accuracy"] is not None
    ]
    best = [
        point
        for point in points
        if not any(a >= point[1] and s >= point[2] and (a, s) != point[1:] for _, a, s in points)
    ]
    return [name for name, _, _ in sorted(best, key=lambda point: point[2])]


def _plain(budget: BudgetSpec) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in budget.__dataclass_fields__}


def _name(climb: _Climb, target: Target, rung: Rung) -> str:
    (candidate,) = make_rung_plan(climb.recipe, target, climb.surroundings.facts, rung).candidates
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
