"""The exponential moving average of the weights, which is judged and kept in their place (Tarvainen & Valpola 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARMUP = 10


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A running average of ``network``'s weights and buffers, to be updated after every step.

    The decay of update t is min(decay, (1 + t) / (10 + t)), so that a short training is not
    judged by the weights it started from.
    """

    def update(average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        share = 1.0 - min(decay, (1 + count) / (WARMUP + count))
        for ours, theirs in zip(average, current, strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs.to(ours.dtype), share)
            else:
                ours.copy_(theirs)  # counters of batch norms

    with torch.no_grad():
        return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
