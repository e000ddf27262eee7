"""Batch norms that match the pruned network: what they have seen before was the unpruned one."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate_batch_norms(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replace running statistics by the mean over ``batches`` (images [N, 3, H, W], labels); leaves it in eval mode."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    if norms:
        for images, _ in batches:
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
