"""The temperature is the one that was put in, and it makes probabilities honest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.measure.calibration import calibration, fit_temperature


def outputs(temperature, n=4000, seed=0):
    """Logits that are exactly calibrated once divided by ``temperature``."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (n, 5))
    labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return honest * temperature, labels


@given(st.floats(0.3, 5.0), st.integers(0, 100))
def test_the_temperature_that_was_put_in_is_found(temperature, seed):
    assert fit_temperature(*outputs(temperature, seed=seed)) == pytest.approx(temperature, rel=0.15)


def test_it_lowers_the_calibration_error_on_other_samples():
    found = calibration(*outputs(3.0, seed=1), *outputs(3.0, seed=2))
    assert found["ece"] > 0.15 and found["ece_calibrated"] < 0.03


def test_a_few_answers_that_are_all_right_do_not_ask_for_certainty():
    logits = np.eye(3)[[0, 1, 2, 0]] * 8.0
    scaled = np.exp(logits / fit_temperature(logits, [0, 1, 2, 0]))
    assert scaled.max(axis=1) / scaled.sum(axis=1) == pytest.approx(5 / 6, abs=0.01)
