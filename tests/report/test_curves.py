"""What is said of curves: too much, too little, settled, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.report.curves import FEWEST, fit_verdict


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


def test_too_few_epochs_other_steps_and_missing_losses_say_nothing():
    assert fit_verdict(curve([1.0, 0.5, 0.4])) is None and FEWEST == 4
    assert fit_verdict(curve([1.0] * 9, step="prune-30")) is None
    rows = curve([1.0] * 5)
    rows[2]["val_loss"] = None
    assert fit_verdict(rows) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=FEWEST, max_size=30))
def test_any_curve_gives_one_sentence(validation):
    said = fit_verdict(curve(validation))
    assert said is not None and said.endswith(".")
