"""L2 norm of a channel's weights, over all layers of its group (Li et al. 2017; Fang et al. 2023, DepGraph)."""

import torch_pruning as tp

NEEDS_GRADIENTS = False


def importance() -> tp.importance.Importance:
    """Group magnitude, normalised by the group's mean so that groups compare."""
    return tp.importance.GroupMagnitudeImportance(p=2)
