"""Distance from the geometric median of a layer's filters: what is near all others can be replaced by them.

The sum of a filter's Euclidean distances to the others stands for it (He et al. 2019, FPGM, section 3.3).
torch-pruning's own FPGMImportance takes the distances between powers of the weights, in which a filter and its negative
are the same.
"""

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch_pruning.pruner import function

from edgetune.pruning.criteria.batches import Batches

COMPARABLE = False
NORMALIZATION = "none"
REDUCES = False  # distances are averaged over the layers that make the channels
WRITES = (
    function.prune_conv_out_channels,
    function.prune_depthwise_conv_out_channels,
    function.prune_linear_out_channels,
)


def importance(network: nn.Module, batches: Batches) -> "MedianDistance":
    """Looks at no data."""
    return MedianDistance()


class MedianDistance(tp.importance.Importance):  # type: ignore[misc]
    """Scores of a group's channels: each layer's distances over their mean, averaged over the layers that make them."""

    @torch.no_grad()
    def __call__(self, group: tp.Group) -> Tensor | None:
        """Scores [channels]; None if no layer with weights makes them."""
        members, layers = list(group), 0
        scores = torch.zeros(len(members[0][1]))
        for number, (dep, channels) in enumerate(members):
            if dep.pruning_fn not in WRITES or not isinstance(dep.layer, nn.Conv2d | nn.Linear):
                continue
            filters = dep.layer.weight.detach()[channels].flatten(1)
            distances = torch.cdist(filters, filters).sum(1)
            roots = torch.tensor(group[number].root_idxs)
            scores.index_add_(0, roots, distances / distances.mean().clamp_min(1e-12))
            layers += 1
        return scores / layers if layers else None
