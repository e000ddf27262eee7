"""When the network of a trial is given up: hopeless after its recovery, or already while it recovers.

A recovery is stopped by the median rule (Golovin et al. 2017, section 3.2.1): its best accuracy on validation so far is
lower than the median of what finished trials had at the same share of their own recoveries. Optuna's pruners refuse
studies of several objectives, so the curves are kept with the trials and compared here. As what is pruned more is
expected to be behind, two more things must hold: it is behind by a margin, and so far outside of the accuracy budget
that it would be given up if its recovery ended now.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from edgetune.errors import SetAside
from edgetune.measure.selection import drop_points
from edgetune.records import Recipe
from edgetune.search.values import Wanted
from edgetune.tune.storage import has_gone
from edgetune.tune.study import RECIPE
from edgetune.tune.worker import Search

RESULT = "edgetune:result"  # of a trial, as of ``trial.make_engine``
LEAST_TRIALS = 5  # finished ones with a recovery, before which none is stopped: as many as Optuna's median rule wants
NOISE = 1e-9  # of shares and points


def hopeless(accuracy: float, float_accuracy: float, recipe: Recipe) -> bool:
    """Whether a network is so far outside the accuracy budget before it is compiled that no engine of it is made."""
    limit = recipe.budget.max_accuracy_drop + recipe.search.give_up_points
    plain = ({"selection": {"accuracy": value}} for value in (float_accuracy, accuracy))
    return drop_points(*plain) > limit + NOISE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """After which ``epoch`` of how many a recovery was stopped, and what it was compared with."""

    epoch: int
    epochs: int
    accuracy: float  # the best so far
    median: float  # of the best so far of ``trials`` others
    trials: int

    def __str__(self) -> str:
        return (
            f"stopped after epoch {self.epoch} of {self.epochs} of its recovery: {self.accuracy:.1%} on validation at "
            f"best, where the median of {self.trials} trials had {self.median:.1%}"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def behind(curve: Sequence[float], epochs: int, others: Sequence[Sequence[float]], points: float) -> Stop | None:
    """Whether a recovery is more than so many ``points`` behind the median of ``others`` at the same share of theirs.

    Args:
        curve: accuracy on validation of each epoch so far, of ``epochs`` that are to be.
        others: the same of whole recoveries; those without an epoch by that share are no measure.
    """
    share, best = len(curve) / epochs, max(curve)
    reached = [other[: int(share * len(other) + NOISE)] for other in others]
    there = [max(part) for part in reached if part]
    if len(there) < LEAST_TRIALS:
        return None
    median = statistics.median(there)
    if 100.0 * (median - best) <= points + NOISE:
        return None
    return Stop(epoch=len(curve), epochs=epochs, accuracy=best, median=median, trials=len(there))


def recoveries(trials: Sequence[FrozenTrial]) -> list[list[float]]:
    """The curves of the trials that came to their end, of those that had a recovery."""
    results = [trial.user_attrs[RESULT] for trial in trials if trial.state is TrialState.COMPLETE]
    return [result["recovery"] for result in results if result.get("recovery")]


@dataclass(slots=True)
class Recovering:
    """The Watch of a trial's recovery: stops it when it is hopeless; ``stop`` then says why.

    The engines of the recipe itself are never stopped. A storage that has gone does not hold up a training.
    """

    search: Search
    trial: Trial
    float_accuracy: float
    epochs: int
    stop: Stop | None = None

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        curve = [row["val_accuracy"] for row in history]
        recipe = self.search.recipe
        if len(curve) >= self.epochs or not hopeless(max(curve), self.float_accuracy, recipe):
            return
        try:
            if self.trial.user_attrs.get(RECIPE):
                return
            trials = self.search.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        except Exception as error:
            if not has_gone(error):
                raise
            return
        self.stop = behind(curve, self.epochs, recoveries(trials), recipe.search.stop_points)
        if self.stop is not None:
            raise SetAside(str(self.stop))


def watched(search: Search, trial: Trial, float_accuracy: float, engine: Wanted) -> Recovering:
    """The Watch for the recovery of ``engine``."""
    return Recovering(search, trial, float_accuracy, engine.recipe.prune.recovery_epochs)
