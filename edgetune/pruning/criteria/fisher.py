"""Mean squared derivative of the loss by a channel's gate: what the loss gains without the channel, to second order.

A gate multiplies a feature map; at 1, its derivative is the sum of weight times gradient over all that read the map.
The mean of its square over small batches is the diagonal of the Fisher information, which stands for the Hessian (Theis
et al. 2018; Liu et al. 2021, Group Fisher Pruning, who also add up the gates of coupled layers before squaring).
"""

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch_pruning.pruner import function

from edgetune.pruning.criteria.batches import Batches, backward

COMPARABLE = True
NORMALIZATION = "none"
REDUCES = False  # gates of coupled layers are one gate
BATCH = 8  # one sample each would be exact; eight are as good and eight times as fast
READS = (function.prune_conv_in_channels, function.prune_linear_in_channels)


def importance(network: nn.Module, batches: Batches) -> "FisherImportance":
    """Run the batches in small parts, and keep the derivative of every layer's input gates for each part."""
    gates: dict[nn.Module, list[Tensor]] = {}
    for images, labels in batches:
        for part, wanted in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            network.zero_grad(set_to_none=True)
            backward(network, part, wanted)
            for layer in network.modules():
                if (derivative := _input_gates(layer)) is not None:
                    gates.setdefault(layer, []).append(derivative)
    network.zero_grad(set_to_none=True)
    return FisherImportance({layer: torch.stack(parts) for layer, parts in gates.items()})


class FisherImportance(tp.importance.Importance):  # type: ignore[misc]
    """Scores of a group's channels from ``gates``: layer -> derivatives [parts, input channels]."""

    def __init__(self, gates: dict[nn.Module, Tensor]) -> None:
        self.gates = gates

    def __call__(self, group: tp.Group) -> Tensor | None:
        """Scores [channels]; None if nothing that is known reads them."""
        members = list(group)
        made_here = {dep.layer for dep, _ in members if dep.pruning_fn is function.prune_conv_out_channels}
        found = None
        for number, (dep, channels) in enumerate(members):
            # A grouped layer whose own output goes too hands the gate on to its readers: it would count twice.
            passes_on = dep.layer in made_here and getattr(dep.layer, "groups", 1) > 1
            if dep.pruning_fn not in READS or dep.layer not in self.gates or passes_on:
                continue
            derivatives = self.gates[dep.layer][:, channels]
            if found is None:
                found = torch.zeros(len(derivatives), len(members[0][1]))
            found.index_add_(1, torch.tensor(group[number].root_idxs), derivatives)
        return None if found is None else found.square().mean(0)


def _input_gates(layer: nn.Module) -> Tensor | None:
    """Sum of weight times gradient by input channel [inputs], or None for a layer without such weights."""
    if not isinstance(layer, nn.Conv2d | nn.Linear) or layer.weight.grad is None:
        return None
    product = layer.weight.detach() * layer.weight.grad
    if isinstance(layer, nn.Linear):
        return product.sum(0)
    by_group = product.flatten(2).sum(2).view(layer.groups, -1, product.shape[1])
    return by_group.sum(1).flatten()
