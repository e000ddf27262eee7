"""When a network is given up, and when already while it recovers."""

import statistics
from dataclasses import replace
from pathlib import Path

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from edgetune.records import BudgetSpec, DataSpec, ModelSpec, Recipe, SearchSpec
from edgetune.search.hopeless import LEAST_TRIALS, RESULT, behind, hopeless, recoveries

OWN = Recipe(base=Path("/p"), model=ModelSpec(name="torchvision/resnet18"), data=DataSpec(path="photos"))
SHARES = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
CURVES = st.lists(SHARES, min_size=1, max_size=12)


@given(drop=st.integers(0, 90), limit=st.integers(0, 50), margin=st.integers(0, 50))
def test_a_network_is_hopeless_beyond_the_budget_and_the_margin(drop, limit, margin):
    recipe = replace(
        OWN, budget=BudgetSpec(max_accuracy_drop=float(limit)), search=SearchSpec(give_up_points=float(margin))
    )
    assert hopeless(0.95 - drop / 100, 0.95, recipe) == (drop > limit + margin)


@given(curve=CURVES, more=st.integers(0, 9), others=st.lists(CURVES, max_size=9), points=st.integers(0, 30))
def test_it_is_behind_only_a_median_of_enough_others_by_the_margin(curve, more, others, points):
    stop = behind(curve, len(curve) + more, others, points)
    share = len(curve) / (len(curve) + more)
    there = [max(other[: round(share * len(other) - 0.5 + 1e-6)], default=None) for other in others]
    there = [best for best in there if best is not None]
    if len(there) < LEAST_TRIALS:
        assert stop is None
        return
    points_behind = 100 * (statistics.median(there) - max(curve))
    assert (stop is not None) == (points_behind > points + 1e-6)
    if stop is not None:
        assert (stop.epoch, stop.epochs, stop.accuracy) == (len(curve), len(curve) + more, max(curve))
        assert stop.trials == len(there) and f"after epoch {stop.epoch} of {stop.epochs}" in str(stop)


def test_shares_of_recoveries_are_compared_and_not_epochs():
    others = [[0.1, 0.9]] * LEAST_TRIALS  # one of two epochs: half
    assert behind([0.5], 2, others, 5.0) is None
    assert behind([0.5], 4, others, 5.0) is None  # no other has an epoch by a quarter of its recovery
    assert behind([0.05, 0.04], 4, others, 0.0) is not None
    assert behind([0.05, 0.04], 4, others, 5.0) is None  # by five points, not by more
    assert behind([0.5, 0.5, 0.5], 4, others, 5.0) is None  # the others' second epoch is yet to come
    assert behind([0.5] * 4, 5, [[0.1, 0.1, 0.1, 0.9, 0.9]] * LEAST_TRIALS, 5.0) is not None


def test_only_trials_that_came_to_their_end_and_had_a_recovery_are_a_measure():
    study = optuna.create_study(directions=["maximize", "minimize"])
    for state, result in (
        (TrialState.COMPLETE, {"recovery": [0.5, 0.6]}),
        (TrialState.COMPLETE, {"recovery": []}),  # not pruned
        (TrialState.COMPLETE, {}),  # of a version that did not note it
        (TrialState.PRUNED, {"recovery": [0.1, 0.2]}),
    ):
        values = [0.9, 0.5] if state is TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, values=values, user_attrs={RESULT: result}))
    study.ask()
    assert recoveries(study.get_trials(deepcopy=False)) == [[0.5, 0.6]]
