"""What is said of curves: too much, too little, settled, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.report.curves import FEWEST, fit_verdict, rate_verdict


def curve(validation, training=None, step="finetune"):
    training = training or [1 / (i + 1) for i in range(len(validation))]
    return [
        {"step": step, "epoch": i + 1, "train_loss": t, "val_loss": v, "val_accuracy": 0.5}
        for i, (t, v) in enumerate(zip(training, validation, strict=True))
    ]


@pytest.mark.parametrize(
    ("validation", "training", "says"),
    [
        ([1.0, 0.5, 0.4, 0.5, 0.7], None, "Overfitting: from epoch 3 on the validation loss rose from 0.400 to 0.700"),
        ([1.0, 0.9, 0.8, 0.7, 0.6], None, "Underfitting: the validation loss was still falling"),
        ([1.0, 0.5, 0.4, 0.4, 0.4], None, "had settled"),
        ([1.0, 0.5, 0.4, 0.5, 0.7], [1.0, 0.8, 0.5, 0.9, 1.2], "had settled"),  # diverged: nothing was memorized
    ],
)
def test_what_the_curves_say(validation, training, says):
    assert says in fit_verdict(curve(validation, training))


def test_a_loss_that_rises_while_more_answers_are_right_is_no_overfitting():
    """As a build that was killed in its training showed: its last epoch was its best."""
    rows = taught([1.0, 0.5, 0.3, 0.2], [1.0, 0.6, 0.7, 0.8], [0.5, 0.73, 0.8, 0.9])
    assert "Overconfident: from epoch 2 on" in fit_verdict(rows) and "73.0% to 90.0%" in fit_verdict(rows)
    rows[-1]["val_accuracy"] = 0.7
    assert fit_verdict(rows).startswith("Overfitting: from epoch 2 on")


def test_what_is_learned_by_heart_alone_is_overfitting_from_the_start():
    rows = taught([1.165, 0.9, 0.7, 0.589], [1.1, 1.099, 1.1, 1.099], [0.33, 0.33, 0.33, 0.33])
    assert "never came below that of guessing (1.10)" in fit_verdict(rows, [5, 5, 5])
    assert "had settled" in fit_verdict(rows, [5, 0, 0])  # one class: nothing to guess


def test_too_few_epochs_are_said_other_steps_and_missing_losses_say_nothing():
    assert fit_verdict(curve([1.0, 0.5, 0.4])) == "3 epochs: too few to tell under- from overfitting." and FEWEST == 4
    assert fit_verdict(curve([1.0])) == "1 epoch: too few to tell under- from overfitting."
    assert fit_verdict(curve([1.0] * 9, step="prune-30")) is None
    rows = curve([1.0] * 5)
    rows[2]["val_loss"] = None
    assert fit_verdict(rows) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30))
def test_any_curve_gives_one_sentence(validation):
    said = fit_verdict(curve(validation))
    assert said is not None and said.endswith(".")


def taught(train, validation, accuracy):
    rows = zip(train, validation, accuracy, strict=True)
    return [
        {"step": "finetune", "epoch": i + 1, "train_loss": t, "val_loss": v, "val_accuracy": a}
        for i, (t, v, a) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("history", "counts", "says"),
    [
        # As the demo's network ended at a rate of 3: nothing is NaN, and nothing was learned.
        (taught([4.65, 2.38], [240.4, 2.37], [0.1, 0.1]), [100] * 10, "at the learning rate 3 the loss rose to 240"),
        (taught([2.31, 2.31], [2.31, 2.30], [0.11, 0.1]), [100] * 10, "at the learning rate 3 the loss stayed"),
        (taught([0.40, 0.33], [0.34, 0.33], [0.9, 0.9]), [90, 10], "learned nothing"),  # always the large class
        (taught([4.65, 2.0], [240.4, 1.9], [0.1, 0.3]), [100] * 10, None),  # it recovered
        (taught([0.9, 0.1], [2.4, 2.9], [0.5, 0.6]), [100] * 10, None),  # overfitting, and better than guessing
        (taught([0.30, 0.20], [0.30, 0.25], [0.9, 0.9]), [90, 10], None),
    ],
)  # fmt: skip
def test_a_rate_that_taught_nothing_is_named(history, counts, says):
    said = rate_verdict(history, counts, 3.0)
    assert said is None if says is None else says in said and "`edgetune lr-find`" in said


def test_nothing_is_said_of_trainings_without_losses_or_of_one_class():
    rows = taught([9.0], [9.0], [0.0])
    assert rate_verdict(rows, [5], 1.0) is None and rate_verdict([], [5, 5], 1.0) is None
    rows[0]["val_loss"] = None
    assert rate_verdict(rows, [5, 5], 1.0) is None
