"""A trial of ``edgetune tune``: fine-tuning with other values, given up when it falls behind."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import Trial, TrialState

from edgetune import pipeline
from edgetune.errors import Abandoned, TrainingError
from edgetune.plan import make_finetune_plan
from edgetune.progress import Reporter, Tick
from edgetune.records import Artifact
from edgetune.report.tune import value as shown
from edgetune.tune.liveness import LOSSES
from edgetune.tune.storage import has_gone
from edgetune.tune.study import RECIPE
from edgetune.tune.worker import Search, Tried


@dataclass(slots=True)
class OneLine:
    """A reporter that leaves out the steps of a trial: it has one line of its own."""

    inner: Reporter
    title: str

    def say(self, text: str) -> None:
        if "another build" in text:
            self.inner.say(f"{self.title}: another worker is training with these values")

    def tick(self, title: str) -> Tick:
        return self.inner.tick(f"{self.title}: {title}")

    def close(self) -> None:
        self.inner.close()


def attempt(search: Search, trial: Trial, values: Mapping[str, Any]) -> Tried:
    """Train with ``values``; the objective is the accuracy on validation."""
    recipe, number = search.recipe, trial.number
    made = make_finetune_plan(replace(recipe, finetune=replace(recipe.finetune, **values)), search.surroundings.facts)
    announce(search, trial, values)
    reporter, started = OneLine(search.reporter, f"trial {number}"), time.monotonic()
    told = _Told(trial=trial, epochs=made.recipe.finetune.epochs)
    try:
        outcomes = pipeline.run(made, search.store, search.surroundings, reporter, told)
    except Abandoned:
        search.reporter.say(f"trial {number}: pruned after {time.monotonic() - started:.0f} s")
        return Tried(state=TrialState.PRUNED)
    except TrainingError as error:
        search.reporter.say(f"trial {number}: failed: {error.message}")
        return Tried(state=TrialState.FAIL, reason=error.message)
    artifact = outcomes["finetune"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    history = read_history(artifact)
    search.ask(lambda: told.report(history))
    accuracy = max(row["val_accuracy"] for row in history)
    how = "known" if outcomes["finetune"].cached else f"{time.monotonic() - started:.0f} s"
    search.reporter.say(f"trial {number}: {accuracy:.1%} on validation ({how})")
    return Tried(state=TrialState.COMPLETE, values=accuracy)


def announce(search: Search, trial: Trial, values: Mapping[str, Any], own: str = "the recipe as it is") -> None:
    """Say which values a trial has."""
    title = f"trial {trial.number}" + (f" ({own})" if trial.user_attrs.get(RECIPE) else "")
    if trial.user_attrs.get(LOSSES):
        title += ", whose worker was lost, again"
    search.reporter.say(f"{title}: {', '.join(f'{name} {shown(value)}' for name, value in values.items())}")


@dataclass(slots=True)
class _Told:
    """The Watch of a trial: reports its epochs, and gives it up if the pruner says so.

    A storage that has gone does not hold up a training: what it missed is reported after the next epoch.
    """

    trial: Trial
    epochs: int
    step: int = 0  # percent of the training that the storage knows of

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        try:
            self.report(history)
            prune = len(history) < self.epochs and not self.trial.user_attrs.get(RECIPE) and self.trial.should_prune()
        except Exception as error:
            if not has_gone(error):
                raise
            return
        if prune:
            raise Abandoned(f"trial {self.trial.number} was pruned")

    def report(self, history: Sequence[Mapping[str, float]]) -> None:
        """Tell the storage of the epochs that it does not know yet."""
        if "l2" in history[0]:  # strengths of a penalty (feature-extraction), no epochs
            self.trial.report(max(row["val_accuracy"] for row in history), step=100)
            return
        for number, row in enumerate(history, start=1):
            if (step := 100 * number // self.epochs) > self.step:
                self.trial.report(row["val_accuracy"], step=step)
                self.step = step


def read_history(artifact: Artifact) -> list[dict[str, float]]:
    """The epochs of a finished fine-tuning."""
    notes = json.loads((artifact.path / "notes" / "training.json").read_text(encoding="utf-8"))
    history: list[dict[str, float]] = notes["history"]
    return history
