"""Take a trial, train with its values, tell what came of it; until as many are done as were asked for."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from edgetune import pipeline
from edgetune.errors import Abandoned, TrainingError, TuneError
from edgetune.plan import make_finetune_plan
from edgetune.progress import Reporter, Tick
from edgetune.records import Artifact, Recipe
from edgetune.report.tune import value as shown
from edgetune.search_space import space_of
from edgetune.store import Store
from edgetune.surroundings import Surroundings
from edgetune.tune.liveness import LOSSES, Pulse, take_back
from edgetune.tune.storage import has_gone, patient
from edgetune.tune.study import REASON, RECIPE, SURPLUS, VALUES, choose, counted, make_sampler

R = TypeVar("R")
LOOK_EVERY_SECONDS = 1.0  # at the trials of other workers, when none is left to begin
FAREWELL_SECONDS = 3.0  # to give a trial back when stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All that a worker needs."""

    recipe: Recipe
    study: optuna.Study
    store: Store
    surroundings: Surroundings
    reporter: Reporter
    patience: float  # seconds to wait for a storage that has gone
    go_on: str  # the command to go on with

    def ask(self, call: Callable[[], R], patience: float | None = None) -> R:
        """Something of the storage, with patience."""

        def gone(words: str) -> TuneError:
            return TuneError(
                f"the storage of the search has been away for {self.patience:g} s: {words}",
                hint=f"all finished trials are kept; when it is back, go on with: {self.go_on}",
            )

        return patient(call, self.patience if patience is None else patience, self.reporter.say, gone)


@dataclass(slots=True)
class _OneLine:
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


def work(search: Search, deadline: float | None) -> bool:
    """Train trial after trial; returns whether all are done (False: the time is up).

    Args:
        deadline: of ``time.monotonic``, after which no trial is begun.

    Raises:
        TuneError: the storage was away for too long. Interrupted, KeyboardInterrupt: Ctrl-C; the trial was given back.
        EdgetuneError: from a step that fails for every trial.
    """
    wanted, told = search.recipe.tune.trials, 0
    with Pulse(search.study, search.recipe.tune.lost_after_seconds) as pulse:
        while True:
            trials = search.ask(lambda: search.study.get_trials(deepcopy=False))
            done = counted(trials)
            states = [trial.state for trial in done]
            if len(done) >= wanted and TrialState.WAITING not in states:
                if not (left := states.count(TrialState.RUNNING)):
                    return True
                if left != told:
                    told = left
                    search.reporter.say(f"waiting for {left} trial{'s' if left > 1 else ''} of other workers")
                if deadline is not None and time.monotonic() > deadline:
                    return False
                time.sleep(LOOK_EVERY_SECONDS)
                continue
            if deadline is not None and time.monotonic() > deadline:
                return False
            trial = search.ask(search.study.ask)
            if _is_surplus(search, trial):  # another worker began the last one at the same moment
                continue
            _run(search, trial, pulse)


def _is_surplus(search: Search, trial: Trial) -> bool:
    trials = counted(search.ask(lambda: search.study.get_trials(deepcopy=False)))
    if trial.number in [other.number for other in trials[: search.recipe.tune.trials]]:
        return False
    search.ask(lambda: trial.set_user_attr(SURPLUS, True))
    search.ask(lambda: search.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True))
    return True


def _run(search: Search, trial: Trial, pulse: Pulse) -> None:
    """One trial, from its values to what is told of it."""
    try:
        search.ask(lambda: pulse.begin(trial))
        search.study.sampler = make_sampler(search.recipe.tune.seed, trial.number)
        values = search.ask(lambda: choose(trial, space_of(search.recipe), search.recipe))
        search.ask(lambda: trial.set_user_attr(VALUES, values))
        state, accuracy, why = _train(search, trial, values)
        if why is not None:
            search.ask(lambda: trial.set_user_attr(REASON, why))
        search.ask(lambda: search.study.tell(trial, accuracy, state=state, skip_if_finished=True))
    except UpdateFinishedTrialError:
        search.reporter.say(f"trial {trial.number}: another worker has taken it, as this one gave no sign of life")
    except BaseException:
        _give_back(search, trial)
        raise
    finally:
        pulse.end()


def _train(search: Search, trial: Trial, values: Mapping[str, Any]) -> tuple[TrialState, float | None, str | None]:
    """(state, accuracy on validation, why it failed)."""
    recipe, number = search.recipe, trial.number
    made = make_finetune_plan(replace(recipe, finetune=replace(recipe.finetune, **values)), search.surroundings.facts)
    title = f"trial {number}" + (" (the recipe as it is)" if trial.user_attrs.get(RECIPE) else "")
    if trial.user_attrs.get(LOSSES):
        title += ", whose worker was lost, again"
    search.reporter.say(f"{title}: {', '.join(f'{name} {shown(value)}' for name, value in values.items())}")
    reporter, started = _OneLine(search.reporter, f"trial {number}"), time.monotonic()
    told = _Told(trial=trial, epochs=made.recipe.finetune.epochs)
    try:
        outcomes = pipeline.run(made, search.store, search.surroundings, reporter, told)
    except Abandoned:
        search.reporter.say(f"trial {number}: pruned after {time.monotonic() - started:.0f} s")
        return TrialState.PRUNED, None, None
    except TrainingError as error:
        search.reporter.say(f"trial {number}: failed: {error.message}")
        return TrialState.FAIL, None, error.message
    artifact = outcomes["finetune"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    history = read_history(artifact)
    search.ask(lambda: told.report(history))
    accuracy = max(row["val_accuracy"] for row in history)
    how = "known" if outcomes["finetune"].cached else f"{time.monotonic() - started:.0f} s"
    search.reporter.say(f"trial {number}: {accuracy:.1%} on validation ({how})")
    return TrialState.COMPLETE, accuracy, None


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


def _give_back(search: Search, trial: Trial) -> None:
    """Queue the values of a trial that is left in the middle; where that fails, the next worker finds it."""
    try:
        frozen = next(found for found in search.study.get_trials(deepcopy=False) if found.number == trial.number)
        search.ask(lambda: take_back(search.study, frozen, lost=False), FAREWELL_SECONDS)
    except Exception:  # noqa: BLE001 - the error that ends the trial is the one to tell
        return
