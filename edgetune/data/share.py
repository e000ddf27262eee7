"""Parts of batches: what this process takes when several train together (``edgetune.finetune.team``), or the first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """Part ``rank`` of ``processes`` nearly equal ones."""

    rank: int = 0
    processes: int = 1

    def of_numbers(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Our part of a batch's sample numbers: neighbours stay neighbours, larger parts come first."""
        return np.array_split(numbers, self.processes)[self.rank]

    def of_tensors(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Our part of a batch: the samples that ``of_numbers`` names."""
        inputs, labels = (tensor.tensor_split(self.processes)[self.rank] for tensor in batch)
        return inputs, labels

    def of_batches(self, starts: Sequence[int]) -> Sequence[int]:
        """Our batches of a split that is only looked at: every ``processes``-th."""
        return starts[self.rank :: self.processes]


WHOLE = Share()


def first_samples(batches: Iterable[tuple[Tensor, Tensor]], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the first ``count`` samples (1 or more): the last one is cut, and none after it is made."""
    for inputs, labels in batches:
        yield inputs[:count], labels[:count]
        count -= len(labels)
        if count <= 0:
            return
