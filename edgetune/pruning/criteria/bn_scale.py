"""Absolute scale of a channel's batch norms (Liu et al. 2017, Network Slimming); groups without one are left whole."""

import torch_pruning as tp
from torch import nn

from edgetune.errors import PruningError
from edgetune.pruning.criteria.batches import Batches

COMPARABLE = False
NORMALIZATION = "mean"
REDUCES = True


def importance(network: nn.Module, batches: Batches, reduction: str = "mean") -> tp.importance.Importance:
    """Absolute scales; looks at no data.

    Raises:
        PruningError: the network has no batch norm with scales.
    """
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    if not any(norm.affine for norm in norms):
        raise PruningError(
            "the network has no batch norm whose scales could rank its channels",
            hint='set `[prune] criterion` to another, such as "fisher"',
        )
    return tp.importance.BNScaleImportance(group_reduction=reduction, normalizer=None)
