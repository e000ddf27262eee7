"""L1 norm of a channel's weights, over all layers of its group (Li et al. 2017; Fang et al. 2023, DepGraph)."""

import torch_pruning as tp
from torch import nn

from edgetune.pruning.criteria.batches import Batches

COMPARABLE = False
NORMALIZATION = "mean"
REDUCES = True


def importance(network: nn.Module, batches: Batches, reduction: str = "mean") -> tp.importance.Importance:
    """Group magnitude; looks at no data."""
    return tp.importance.GroupMagnitudeImportance(p=1, group_reduction=reduction, normalizer=None)
