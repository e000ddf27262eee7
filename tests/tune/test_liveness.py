"""Trials of workers that went away are begun again, by any storage and without comparing clocks."""

import os
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from edgetune.tune.liveness import (
    BEAT,
    LOSSES,
    MOST_LOSSES,
    Pulse,
    began,
    being_queued,
    has_ended,
    place,
    take_back,
    worker_names,
)
from edgetune.tune.study import REASON, counted

pytestmark = pytest.mark.slow  # they wait for workers to be lost


@pytest.fixture
def study(tmp_path):
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/search.db", direction="maximize")


def begin(study):
    trial = study.ask()
    trial.suggest_float("rate", 0.1, 1.0)
    return trial


def state(study, number):
    return study.get_trials()[number].state


def soon(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_a_worker_elsewhere_that_falls_silent_is_lost(study):
    lost, own = begin(study), begin(study)
    lost.set_user_attr(BEAT, {"place": "elsewhere", "pid": os.getpid(), "began": "0", "count": 7})
    with Pulse(study, 0.6) as pulse:
        pulse.begin(own)
        assert soon(lambda: state(study, lost.number) is TrialState.FAIL)
        time.sleep(1.5)
    assert state(study, own.number) is TrialState.RUNNING  # it gave signs of life
    trials = study.get_trials()
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert trials[2].params == trials[0].params and trials[2].user_attrs == {LOSSES: 1}
    assert [trial.number for trial in counted(trials)] == [1, 2]


def test_one_killed_before_its_first_sign_of_life_is_lost_too(study):
    lost = begin(study)
    with Pulse(study, 0.6):
        assert soon(lambda: state(study, lost.number) is TrialState.FAIL)


def test_one_that_gives_signs_of_life_keeps_its_trial(study):
    other = begin(study)
    with Pulse(study, 0.6):
        for count in range(20):
            other.set_user_attr(BEAT, {"place": "elsewhere", "pid": 1, "began": "0", "count": count})
            time.sleep(0.1)
    assert state(study, other.number) is TrialState.RUNNING


def test_a_process_that_has_ended_here_is_noticed_at_once(study):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat = {"place": place(), "pid": process.pid, "began": began(process.pid), "count": 1}
    assert not has_ended(beat) and not has_ended(None)
    lost = begin(study)
    lost.set_user_attr(BEAT, beat)
    process.kill()
    process.wait()
    assert has_ended(beat) and not has_ended({**beat, "place": "elsewhere"})
    with Pulse(study, 3600):
        assert soon(lambda: state(study, lost.number) is TrialState.FAIL)
    # The number of a process is given again: its beginning tells them apart.
    assert has_ended({**beat, "pid": os.getpid(), "began": "before"}) or not began("self")


def test_values_that_cost_too_many_workers_are_not_tried_again(study):
    begin(study)
    for losses in range(MOST_LOSSES + 1):
        running = next(t for t in study.get_trials() if t.state is TrialState.RUNNING)
        assert take_back(study, running, lost=True)
        assert not take_back(study, running, lost=True)  # only one worker takes it
        waiting = [t for t in study.get_trials() if t.state is TrialState.WAITING]
        assert bool(waiting) == (losses < MOST_LOSSES)
        if waiting:
            study.ask()
    (last,) = counted(study.get_trials())
    assert last.state is TrialState.FAIL and last.system_attrs["retry_history"] == [0, 1, 2]


def test_stopping_on_purpose_is_no_loss(study):
    trial = begin(study)
    for _ in range(2 * MOST_LOSSES):
        take_back(study, study.get_trials()[trial.number], lost=False)
        trial = study.ask()
    assert study.get_trials()[trial.number].user_attrs == {LOSSES: 0}


def test_a_trial_between_its_loss_and_its_queue_is_not_forgotten(study):
    """Whoever took it back is a moment from queueing it, or has died in that moment: then another does."""
    failed, lost = begin(study), begin(study)
    failed.set_user_attr(REASON, "the loss became NaN")
    for trial in (failed, lost):
        study.tell(trial, state=TrialState.FAIL)
    assert [trial.number for trial in being_queued(study.get_trials())] == [lost.number]
    with Pulse(study, 0.6):
        assert soon(lambda: not being_queued(study.get_trials()))
        time.sleep(1.5)
    waiting = [trial for trial in study.get_trials() if trial.state is TrialState.WAITING]
    assert [(trial.params, trial.user_attrs) for trial in waiting] == [(study.get_trials()[1].params, {LOSSES: 1})]


def test_processes_are_told_apart_by_number_and_not_by_host(study):
    beat = {"place": "desk/pid:[1]", "pid": 7, "began": "5", "count": 9}
    others = [{"pid": 8}, None, {"count": 1}, {"began": "6"}, {"place": "laptop/pid:[1]"}]
    for other in [{}, *others]:
        attributes = {} if other is None else {BEAT: beat | other}  # None: not begun
        study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
    names = {0: 1, 1: 2, 3: 1, 4: 3, 5: 4}
    assert worker_names(study.get_trials()) == {number: f"worker {name}" for number, name in names.items()}
