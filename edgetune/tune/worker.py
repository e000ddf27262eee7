"""Take a trial, try its values, tell what came of it; until as many are done as were asked for."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from edgetune.devices import local
from edgetune.errors import TuneError
from edgetune.progress import Reporter
from edgetune.records import Recipe
from edgetune.store import Store
from edgetune.surroundings import Surroundings
from edgetune.tune.liveness import Pulse, being_queued, take_back
from edgetune.tune.neighbours import advice, beside
from edgetune.tune.storage import patient
from edgetune.tune.study import REASON, SURPLUS, VALUES, counted

R = TypeVar("R")
LOOK_EVERY_SECONDS = 1.0  # at the trials of other workers, when none is left to begin
FAREWELL_SECONDS = 3.0  # to give a trial back when stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All that a worker needs; ``attempt`` is what a trial is: training (tune), or making an engine (search)."""

    recipe: Recipe
    study: optuna.Study
    store: Store
    surroundings: Surroundings
    reporter: Reporter
    patience: float  # seconds to wait for a storage that has gone
    go_on: str  # the command to go on with
    trials: int  # wanted
    lost_after: float  # seconds without a sign of life from a trial's worker
    sampler: Callable[[int], BaseSampler]  # of a trial's number
    choose: Callable[[Trial], dict[str, Any]]  # its values
    attempt: "Callable[[Search, Trial, Mapping[str, Any]], Tried]"

    def ask(self, call: Callable[[], R], patience: float | None = None) -> R:
        """Something of the storage, with patience."""

        def gone(words: str) -> TuneError:
            return TuneError(
                f"the storage of the search has been away for {self.patience:g} s: {words}",
                hint=f"all finished trials are kept; when it is back, go on with: {self.go_on}",
            )

        return patient(call, self.patience if patience is None else patience, self.reporter.say, gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of a trial."""

    state: TrialState
    values: float | Sequence[float] | None = None  # of the objectives
    reason: str | None = None  # why it failed or was given up


def work(search: Search, deadline: float | None) -> bool:
    """Try one trial after the other; returns whether all are done (False: the time is up).

    Args:
        deadline: of ``time.monotonic``, after which no trial is begun.

    Raises:
        TuneError: the storage was away for too long. Interrupted, KeyboardInterrupt: Ctrl-C; the trial was given back.
        EdgetuneError: from a step that fails for every trial.
    """
    wanted, told, alone = search.trials, 0, True
    with Pulse(search.study, search.lost_after) as pulse:
        while True:
            trials = search.ask(lambda: search.study.get_trials(deepcopy=False))
            done = counted(trials)
            states = [trial.state for trial in done]
            if len(done) >= wanted and TrialState.WAITING not in states:
                if not (left := states.count(TrialState.RUNNING) + len(being_queued(trials))):
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
            if alone and (others := beside(trials, os.getpid())):
                alone = False
                _tell_of(others, search.reporter)
            trial = search.ask(search.study.ask)  # from here on until its first sign of life nothing may take long
            if _is_surplus(search, trial):  # another worker began the last one at the same moment
                continue
            _run(search, trial, pulse)


def _tell_of(others: int, reporter: Reporter) -> None:
    import torch

    cores = local.describe()["cores_usable"]
    if torch.cuda.is_available() or not isinstance(cores, int):  # "unknown" on a system that does not tell
        return
    if told := advice(others + 1, torch.get_num_threads(), cores):
        reporter.say(told)


def _is_surplus(search: Search, trial: Trial) -> bool:
    trials = counted(search.ask(lambda: search.study.get_trials(deepcopy=False)))
    if trial.number in [other.number for other in trials[: search.trials]]:
        return False
    search.ask(lambda: trial.set_user_attr(SURPLUS, True))
    search.ask(lambda: search.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True))
    return True


def _run(search: Search, trial: Trial, pulse: Pulse) -> None:
    """One trial, from its values to what is told of it."""
    try:
        search.ask(lambda: pulse.begin(trial))
        search.study.sampler = search.sampler(trial.number)
        values = search.ask(lambda: search.choose(trial))
        search.ask(lambda: trial.set_user_attr(VALUES, values))
        tried = search.attempt(search, trial, values)
        if tried.reason is not None:
            search.ask(lambda: trial.set_user_attr(REASON, tried.reason))
        search.ask(lambda: search.study.tell(trial, tried.values, state=tried.state, skip_if_finished=True))
    except UpdateFinishedTrialError:
        search.reporter.say(f"trial {trial.number}: another worker has taken it, as this one gave no sign of life")
    except BaseException:
        _give_back(search, trial)
        raise
    finally:
        pulse.end()


def _give_back(search: Search, trial: Trial) -> None:
    """Queue the values of a trial that is left in the middle; where that fails, the next worker finds it."""
    try:
        frozen = next(found for found in search.study.get_trials(deepcopy=False) if found.number == trial.number)
        search.ask(lambda: take_back(search.study, frozen, lost=False), FAREWELL_SECONDS)
    except Exception:  # noqa: BLE001 - the error that ends the trial is the one to tell
        return
