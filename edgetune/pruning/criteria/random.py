"""No criterion at all: channels at random, the control that any other must beat."""

import torch_pruning as tp
from torch import nn

from edgetune.pruning.criteria.batches import Batches

COMPARABLE = True
NORMALIZATION = "none"
REDUCES = False


def importance(network: nn.Module, batches: Batches) -> tp.importance.Importance:
    """Uniform scores from torch's generator, which the caller seeds."""
    return tp.importance.RandomImportance()
