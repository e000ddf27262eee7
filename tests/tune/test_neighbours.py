"""Workers on one machine: who is beside whom, and when to say something."""

import os

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.tune.liveness import BEAT, began, place
from edgetune.tune.neighbours import advice, beside


def beat(pid, where):
    return {"place": where, "pid": pid, "began": began(pid), "count": 1}


def test_those_beside_are_other_processes_on_this_machine_that_have_a_trial():
    study = optuna.create_study()
    own, parent = os.getpid(), os.getppid()
    for pid, where in ((own, place()), (parent, place()), (parent, place()), (4, "another machine")):
        study.ask().set_user_attr(BEAT, beat(pid, where))
    study.ask()  # has not given a sign of life yet
    ended = study.ask()
    ended.set_user_attr(BEAT, beat(7, place()))
    study.tell(ended, 0.5)
    assert beside(study.get_trials(), own) == 1 and beside(study.get_trials(), 1) == 2


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_what_is_advised_fits_the_cores(workers, threads, cores):
    told = advice(workers, threads, cores)
    if told is None:
        assert workers == 1 or workers * threads <= cores
    else:
        each = int(told.split("OMP_NUM_THREADS=")[1].split()[0])
        assert each == 1 or workers * each <= cores
        assert each <= threads and workers * threads > cores


@pytest.mark.parametrize("cores, words", [(1, "share 1 core here"), (2, "share 2 cores here")])
def test_the_words(cores, words):
    assert words in advice(2, 2, cores)
