"""Which weights to round up and which down, so that a layer's outputs stay what they were (AdaRound).

Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization": with only up or down to choose from,
a layer's squared output error is a quadratic form in the choices (their equation 13), and its matrix is that of the
inputs' second moments. So a layer's samples need not be kept: the matrix is all there is to know of them, and it does
not grow with their number. The choice is relaxed to numbers between 0 and 1 that a regulariser drives to the ends
(equations 21 to 25), and what comes out is finished by single flips, each of which lowers the error. Rows do not depend
on one another; one for which this gives no less error than rounding to the nearest keeps the nearest.
"""

import math

import torch
from torch import Tensor

STEPS = 300  # of the relaxation
LEARNING_RATE = 4e-2
STRETCH = 1.1, -0.1  # zeta and gamma of the rectified sigmoid
WEIGHT_OF_ROUNDING = 3.0  # lambda, against the error of a weight that is rounded anyhow
WARM_UP = 0.2  # share of the steps without the regulariser
BETA = 20.0, 2.0  # its exponent, from start to end
SWEEPS = 4  # over all weights, of single flips
RELAXED_WORK = 1e8  # rows x columns x columns; above it only flips are tried: a step takes too long


def round_weights(weight: Tensor, scale: Tensor, limit: int, moments: Tensor) -> Tensor:
    """Integers [O, K] within +-``limit`` for ``weight`` [O, K], of which each group has as many rows as any other.

    A row's squared output error is at most that of rounding to the nearest.

    Args:
        scale: the steps, [O, 1].
        moments: second moments of the inputs [G, K, K], by group.
    """
    rows = (weight / scale).reshape(len(moments), -1, weight.shape[1])
    low, high = rows.floor().clamp(-limit, limit), (rows.floor() + 1).clamp(-limit, limit)
    nearest = rows.round().clamp(-limit, limit)
    found = _flipped(nearest, rows, low, high, moments)
    if rows.numel() * rows.shape[2] <= RELAXED_WORK:
        relaxed = _flipped(_relaxed(rows, low, high, moments), rows, low, high, moments)
        better = output_error(relaxed, rows, moments) < output_error(found, rows, moments)
        found = torch.where(better.unsqueeze(2), relaxed, found)
    better = output_error(found, rows, moments) < output_error(nearest, rows, moments)
    return torch.where(better.unsqueeze(2), found, nearest).reshape(weight.shape)


def output_error(rounded: Tensor, exact: Tensor, moments: Tensor) -> Tensor:
    """Mean squared error [G, R] of what rows [G, R, K] give, in units of their steps; in float64."""
    error = rounded.double() - exact.double()
    return (error * (error @ moments.double())).sum(2)


def _flipped(start: Tensor, exact: Tensor, low: Tensor, high: Tensor, moments: Tensor) -> Tensor:
    """``start`` after sweeps over the columns, in each of which a row's weight is flipped if that lowers its error."""
    now = start.clone()
    diagonal = moments.diagonal(dim1=1, dim2=2)
    for _ in range(SWEEPS):
        slope, flips = (now - exact) @ moments, 0  # half of the error's gradient, kept up to date
        for column in range(now.shape[2]):
            step = low[:, :, column] + high[:, :, column] - 2 * now[:, :, column]
            gain = step * (step * diagonal[:, column : column + 1] + 2 * slope[:, :, column])
            step = torch.where(gain < 0, step, 0.0)
            if bool(step.any()):
                flips += 1
                now[:, :, column] += step
                slope += step.unsqueeze(2) * moments[:, column : column + 1, :]
        if flips == 0:
            break
    return now


def _relaxed(exact: Tensor, low: Tensor, high: Tensor, moments: Tensor) -> Tensor:
    """The paper's relaxation: up or down [G, R, K] by Adam on the logits of going up, its gradients by hand."""
    usual = (moments.diagonal(dim1=1, dim2=2).mean() / 12).clamp_min(1e-30)  # error of a weight rounded anyhow
    zeta, gamma = STRETCH
    share = (exact - low).clamp(0.01, 0.99)
    logits = torch.logit((share - gamma) / (zeta - gamma))
    optimiser = torch.optim.Adam([logits], lr=LEARNING_RATE)
    for step in range(STEPS):
        sigmoid = torch.sigmoid(logits)
        up = (sigmoid * (zeta - gamma) + gamma).clamp(0, 1)
        slope = (low + up * (high - low) - exact) @ moments * (2 / usual)
        late = (step / STEPS - WARM_UP) / (1 - WARM_UP)
        if late > 0:
            beta = BETA[1] + 0.5 * (BETA[0] - BETA[1]) * (1 + math.cos(late * math.pi))
            towards = 2 * up - 1
            slope -= 2 * WEIGHT_OF_ROUNDING * beta * towards.abs().pow(beta - 1) * towards.sign()
        inside = (up > 0) & (up < 1)
        logits.grad = torch.where(inside, slope * sigmoid * (1 - sigmoid) * (zeta - gamma), 0.0)
        optimiser.step()
    return torch.where(logits > 0, high, low)  # the stretch is symmetric: 0 is halfway
