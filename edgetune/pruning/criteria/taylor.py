"""|weight x gradient|: a first-order estimate of what the loss loses with the channel (Molchanov et al. 2019)."""

import torch_pruning as tp
from torch import nn

from edgetune.pruning.criteria.batches import Batches, backward

COMPARABLE = True
NORMALIZATION = "none"
REDUCES = True


def importance(network: nn.Module, batches: Batches, reduction: str = "mean") -> tp.importance.Importance:
    """Group Taylor importance: it estimates a loss, which is the same everywhere."""
    network.zero_grad(set_to_none=True)
    for images, labels in batches:
        backward(network, images, labels)
    return tp.importance.GroupTaylorImportance(group_reduction=reduction, normalizer=None)
