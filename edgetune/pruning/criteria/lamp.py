"""Squared weights over the sum of all that are at least as large in their group (Lee et al. 2021, LAMP).

The largest channel of every group scores 1, so that a ranking over all layers empties none.
"""

import torch_pruning as tp
from torch import nn

from edgetune.pruning.criteria.batches import Batches

COMPARABLE = True
NORMALIZATION = None  # it is one
REDUCES = True


def importance(network: nn.Module, batches: Batches, reduction: str = "mean") -> tp.importance.Importance:
    """Group magnitude normalised by LAMP; looks at no data."""
    return tp.importance.LAMPImportance(p=2, group_reduction=reduction)
