"""|weight x gradient|: a first-order estimate of what the loss loses with the channel (Molchanov et al. 2019)."""

import torch_pruning as tp

NEEDS_GRADIENTS = True


def importance() -> tp.importance.Importance:
    """Group Taylor importance; gradients must have been accumulated on the network before."""
    return tp.importance.GroupTaylorImportance()
