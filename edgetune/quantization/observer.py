"""Watch a tensor over many batches with memory that does not grow, and choose its range.

First pass: the extremes. Second pass: a histogram between them. The range is the one whose rounding
and clipping errors, summed over the histogram, are smallest in the squared mean (as in Choukroun et al.
2019 and NVIDIA's calibration survey, Wu et al. 2020).
"""

import torch
from torch import Tensor

from edgetune.errors import QuantizationError

BINS = 2048
CANDIDATES = 60
LEAST_SHARE = 0.3  # ranges below this share of the extremes are not tried
ROUNDS = 2


class Observer:
    """Collects extremes, then a histogram."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")
        self.histogram: Tensor | None = None

    def watch(self, values: Tensor) -> None:
        """Take one batch into account.

        Raises:
            QuantizationError: NaN or infinity.
        """
        values = values.detach().float()
        low, high = (float(value) for value in torch.aminmax(values))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise QuantizationError(
                "calibration met NaN or infinity inside the network",
                hint="look at the fine-tuned network's outputs and at the calibration images",
            )
        if self.histogram is None:
            self.low, self.high = min(self.low, low), max(self.high, high)
        else:
            self.histogram += torch.histc(values, BINS, self.low, self.high).double()

    def start_histogram(self) -> None:
        """Begin the second pass."""
        if self.low > self.high:
            raise QuantizationError("calibration saw no samples", hint="the training split must hold some")
        self.histogram = torch.zeros(BINS, dtype=torch.float64)

    def best_range(self, *, symmetric: bool) -> tuple[float, float]:
        """(low, high) with the smallest mean squared error of 8-bit rounding."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        if self.histogram is None or high - low == 0.0 or float(self.histogram.sum()) == 0.0:
            return low, high
        width = (self.high - self.low) / BINS
        centres = self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)
        shares = [LEAST_SHARE + (1 - LEAST_SHARE) * i / (CANDIDATES - 1) for i in range(CANDIDATES)]
        histogram = self.histogram

        def error(lower: float, upper: float) -> float:
            return _squared_error(centres, histogram, low * lower, high * upper, symmetric)

        lower = upper = 1.0
        for _ in range(ROUNDS):  # each end in turn: an outlier at one end must not cost the other its range
            upper = min((error(lower, share), share) for share in shares)[1]
            lower = min((error(share, upper), share) for share in shares)[1]
        return low * lower, high * upper


def _squared_error(centres: Tensor, counts: Tensor, low: float, high: float, symmetric: bool) -> float:
    if high - low <= 0.0:
        return float("inf")
    step = 2 * max(high, -low) / 254 if symmetric else (high - low) / 255
    clipped = centres.clamp(-step * 127, step * 127) if symmetric else centres.clamp(low, high)
    rounded = torch.round(clipped / step) * step
    return float(((centres - rounded).square() * counts).sum())
