"""Watch a tensor over many batches with memory that does not grow: extremes first, then a histogram between them."""

import torch
from torch import Tensor

from edgetune.errors import QuantizationError
from edgetune.quantization.ranges import Seen

BINS = 2048
MOMENTUM = 0.1  # share of the newest batch in the moving averages of the extremes


class Observer:
    """Collects extremes, then a histogram."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")
        self.average: tuple[float, float] | None = None
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
            before = self.average or (low, high)
            self.average = (before[0] + MOMENTUM * (low - before[0]), before[1] + MOMENTUM * (high - before[1]))
        else:
            self.histogram += torch.histc(values, BINS, self.low, self.high).double()

    def start_histogram(self) -> None:
        """Begin the second pass."""
        if self.low > self.high:
            raise QuantizationError("calibration saw no samples", hint="the training split must hold some")
        self.histogram = torch.zeros(BINS, dtype=torch.float64)

    def seen(self) -> Seen:
        """What both passes saw."""
        assert self.histogram is not None and self.average is not None  # start_histogram has run
        return Seen(
            low=self.low,
            high=self.high,
            average_low=self.average[0],
            average_high=self.average[1],
            histogram=self.histogram,
        )
