"""Which range of an activation 8 bits are to cover, from its extremes and its histogram.

Each method is a function of what an ``Observer`` saw; ``METHODS`` has them by the recipe's name. Wu et al. 2020,
"Integer Quantization for Deep Learning Inference", section 4.2, compares them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

SHARES = [0.3 + 0.7 * i / 59 for i in range(60)]  # of the extremes; smaller ranges are not tried
ROUNDS = 2
PERCENTILE = 99.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A tensor over all of calibration.

    ``low`` and ``high`` are its extremes, the averages those of a batch (moving), ``histogram`` [bins] counts what
    lies between the extremes.
    """

    low: float
    high: float
    average_low: float
    average_high: float
    histogram: Tensor

    @property
    def centres(self) -> Tensor:
        """The middle of each bin."""
        width = (self.high - self.low) / len(self.histogram)
        return self.low + width * (torch.arange(len(self.histogram), dtype=torch.float64) + 0.5)


def minmax(seen: Seen, symmetric: bool) -> tuple[float, float]:
    """All that was seen: nothing is clipped, one outlier coarsens everything."""
    return seen.low, seen.high


def moving_average(seen: Seen, symmetric: bool) -> tuple[float, float]:
    """The extremes of a usual batch (Jacob et al. 2018, section 3.1)."""
    return seen.average_low, seen.average_high


def percentile(seen: Seen, symmetric: bool) -> tuple[float, float]:
    """What is left when the outermost 0.01 % are clipped, half of it at each end (of one-sided values, at theirs)."""
    cumulative = seen.histogram.cumsum(0) / seen.histogram.sum()
    rest = (1.0 - PERCENTILE / 100) / (2 if seen.low < 0.0 < seen.high else 1)
    low = int(torch.searchsorted(cumulative, torch.tensor(rest, dtype=torch.float64)))
    high = int(torch.searchsorted(cumulative, torch.tensor(1.0 - rest, dtype=torch.float64)))
    width, last = (seen.high - seen.low) / len(seen.histogram), len(seen.histogram) - 1
    return (
        seen.low + width * low if seen.low < 0.0 else seen.low,
        seen.low + width * (min(high, last) + 1) if seen.high > 0.0 else seen.high,
    )


def mse(seen: Seen, symmetric: bool) -> tuple[float, float]:
    """The range with the smallest mean squared error of rounding and clipping (Choukroun et al. 2019)."""
    return _least(_squared_error, seen, symmetric)


def entropy(seen: Seen, symmetric: bool) -> tuple[float, float]:
    """The range whose 8-bit histogram has the least Kullback-Leibler divergence from the float one (Migacz 2017).

    Zeros, which ReLU makes in masses and every range represents, count no more than the values beside them.
    """
    counts, width = seen.histogram.clone(), (seen.high - seen.low) / len(seen.histogram)
    if seen.low <= 0.0 <= seen.high:
        zero = min(int(-seen.low / width), len(counts) - 1)
        beside = counts[max(zero - 1, 0) : zero + 2]
        counts[zero] = (beside.sum() - counts[zero]) / max(len(beside) - 1, 1)
    return _least(_divergence, replace(seen, histogram=counts), symmetric)


METHODS: dict[str, Callable[[Seen, bool], tuple[float, float]]] = {
    "mse": mse,
    "minmax": minmax,
    "moving-average": moving_average,
    "percentile": percentile,
    "entropy": entropy,
}


def choose_range(seen: Seen, method: str, *, symmetric: bool) -> tuple[float, float]:
    """(low, high) by ``method``, within the extremes and widened to hold zero."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if high - low == 0.0 or float(seen.histogram.sum()) == 0.0:
        return low, high
    found_low, found_high = METHODS[method](seen, symmetric)
    return max(low, min(found_low, 0.0)), min(high, max(found_high, 0.0))


Loss = Callable[[Tensor, Tensor, float, float, bool], float]


def _least(loss: Loss, seen: Seen, symmetric: bool) -> tuple[float, float]:
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    centres, histogram = seen.centres, seen.histogram

    def of(lower: float, upper: float) -> float:
        return loss(centres, histogram, low * lower, high * upper, symmetric)

    lower = upper = 1.0
    for _ in range(ROUNDS):  # each end in turn: an outlier at one end must not cost the other its range
        upper = min((of(lower, share), share) for share in SHARES)[1]
        lower = min((of(share, upper), share) for share in SHARES)[1]
    return low * lower, high * upper


def _steps(centres: Tensor, low: float, high: float, symmetric: bool) -> tuple[Tensor, float]:
    """(the integer each centre is rounded to, the size of a step)."""
    step = 2 * max(high, -low) / 254 if symmetric else (high - low) / 255
    clipped = centres.clamp(-step * 127, step * 127) if symmetric else centres.clamp(low, high)
    return torch.round(clipped / step), step


def _squared_error(centres: Tensor, counts: Tensor, low: float, high: float, symmetric: bool) -> float:
    if high - low <= 0.0:
        return float("inf")
    steps, step = _steps(centres, low, high, symmetric)
    return float(((centres - steps * step).square() * counts).sum())


def _divergence(centres: Tensor, counts: Tensor, low: float, high: float, symmetric: bool) -> float:
    """KL(P || Q): P is clipped at the ends of the range, Q spreads each step's count over the bins it rounds."""
    if high - low <= 0.0:
        return float("inf")
    steps, _ = _steps(centres, low, high, symmetric)
    inside = (centres >= low) & (centres <= high) & (counts > 0)
    if not bool(inside.any()):
        return float("inf")
    number = (steps - steps.min()).long()
    within, bins = torch.zeros(256, dtype=torch.float64), torch.zeros(256, dtype=torch.float64)
    within.index_add_(0, number[inside], counts[inside])
    bins.index_add_(0, number[inside], torch.ones(int(inside.sum()), dtype=torch.float64))
    q = within[number[inside]] / bins[number[inside]]
    p = counts[inside].clone()
    p[0] += counts[centres < low].sum()
    p[-1] += counts[centres > high].sum()
    p, q = p / p.sum(), q / q.sum()
    return float((p * (p / q).log()).sum())
