"""Temperature scaling: divide the logits by one number, so that probabilities mean what they say."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from edgetune.measure.metrics import expected_calibration_error

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The T for which softmax(logits / T) has the least negative log-likelihood (Guo et al. 2017, section 4.2).

    No answer changes, only its probability. The likelihood is concave in 1/T, so the minimum is the only one. The
    true class is wanted with probability (N + 1) / (N + 2) (Platt 1999): a small split on which every answer is
    right would otherwise ask for certainty.

    Args:
        logits: [N, K] of samples that nothing was trained on. labels: [N].
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    doubt = 1.0 / (len(y) + 2)
    wanted = np.full(x.shape, doubt / max(1, x.shape[1] - 1))
    wanted[np.arange(len(y)), y] = 1.0 - doubt

    def loss(inverse: float) -> float:
        scaled = x * inverse
        return float(np.mean(logsumexp(scaled, axis=1) - (wanted * scaled).sum(axis=1)))

    found = minimize_scalar(loss, bounds=(1 / HIGHEST, 1 / LOWEST), method="bounded", options={"xatol": 1e-5})
    return float(1 / found.x)


def calibration(
    val_logits: ArrayLike, val_labels: ArrayLike, test_logits: ArrayLike, test_labels: ArrayLike
) -> dict[str, float]:
    """The temperature of the validation split, and the calibration error on the test split without and with it."""
    temperature = round(fit_temperature(val_logits, val_labels), 4)
    scaled = np.asarray(test_logits, dtype=np.float64) / temperature
    return {
        "temperature": temperature,
        "ece": expected_calibration_error(test_logits, test_labels),
        "ece_calibrated": expected_calibration_error(scaled, test_labels),
    }
