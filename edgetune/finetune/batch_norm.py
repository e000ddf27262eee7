"""Batch norm over the batch of a whole team, on any device (torch's SyncBatchNorm is for GPUs only)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn

from edgetune.finetune.freezing import BatchNorm
from edgetune.finetune.team import Team


@contextmanager
def synchronized_batch_norms(network: nn.Module, team: Team) -> Iterator[None]:
    """While open, batch norms that train see the samples of every process of ``team``, as one process would.

    The modules stay what they are, for pruning and export look at their types.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)] if team.size > 1 else []
    for norm in norms:
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each one's loss is a part of the whole, so their gradients are summed, too."""

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def _forward(norm: BatchNorm, inputs: Tensor) -> Tensor:
    """[N, C, ...] normalised; float32 inside, in the type of ``inputs`` outside."""
    if not (norm.training or norm.running_mean is None):
        return type(norm).forward(norm, inputs)
    values = inputs.float()
    others = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1] + [1] * (values.ndim - 2)
    count = values.new_tensor([values.numel() / values.shape[1]])
    sums: Tensor = _Sum.apply(torch.cat([values.sum(others), count]))
    total = sums[-1].detach()
    mean = sums[:-1] / total
    centred = values - mean.view(shape)
    variance: Tensor = _Sum.apply(centred.square().sum(others)) / total
    if norm.training:
        _remember(norm, mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
    result: Tensor = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        result = result * norm.weight.view(shape) + norm.bias.view(shape)
    return result.to(inputs.dtype)


@torch.no_grad()
def _remember(norm: BatchNorm, mean: Tensor, unbiased_variance: Tensor) -> None:
    """Move the running statistics, as ``torch.nn.BatchNorm2d`` does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(unbiased_variance, share)
