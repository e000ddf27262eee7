"""Training that makes channels small before they are pruned, so that taking them out changes less.

Group lasso pulls at the norm of every channel, over all layers it runs through (Wen et al. 2016, with the sqrt of the
size as in Yuan and Lin 2006; over coupled layers as Fang et al. 2023, DepGraph, section 3.3): weak ones reach zero.
Growing regularisation pulls at the channels that are going to be pruned alone, by a squared norm whose weight grows
from zero while the network learns to do without them (Wang et al. 2021, GReg-1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch_pruning.pruner import function

from edgetune.models.checkpoint import PruningHistory
from edgetune.models.tracing import dependency_graph
from edgetune.pruning.tied import runs_through, tied

STRENGTHS = {"group-lasso": 1e-3, "growing": 1.0}  # where the recipe does not say; the second is GReg's ceiling
TINY = 1e-12
ROWS = (
    function.prune_conv_out_channels,
    function.prune_depthwise_conv_out_channels,
    function.prune_linear_out_channels,
    function.prune_batchnorm_out_channels,
)
COLUMNS = (function.prune_conv_in_channels, function.prune_linear_in_channels)

Penalty = Callable[[float], Tensor]
"""Share of the training that is done -> what is added to the loss (scalar)."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Weights of ``layer`` that belong to the channels of a group: which of its channels, and which of the group's."""

    layer: nn.Module
    columns: bool  # input channels
    own: Tensor
    group: Tensor

    def squares(self) -> Tensor:
        """Sum of squares of each channel in ``own`` [len(own)]."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        if weight.ndim == 1:
            return weight[self.own.to(weight.device)].square()
        summed = weight.square().flatten(2).sum(2) if weight.ndim > 2 else weight.square()
        return summed.sum(0 if self.columns else 1)[self.own.to(weight.device)]


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that are pruned together, and their weights in every layer they run through."""

    channels: int
    parts: tuple[_Part, ...]
    size: int  # weights of one channel

    def squares(self) -> Tensor:
        """Squared norm of each channel [channels]."""
        first = next(self.parts[0].layer.parameters())
        total = torch.zeros(self.channels, device=first.device)
        for part in self.parts:
            total = total.index_add(0, part.group.to(first.device), part.squares().float())
        return total


def channel_groups(network: nn.Module, example: Tensor, ignored: Sequence[nn.Module]) -> list[ChannelGroup]:
    """Every group of channels of ``network`` that pruning may touch.

    Args:
        example: an input to trace with.
        ignored: modules that are left whole.
    """
    graph = dependency_graph(network, example)
    left_whole = [module for layer in ignored for module in layer.modules()]
    groups = graph.get_all_groups(ignored_layers=left_whole, root_module_types=[nn.Conv2d, nn.Linear])
    ids = tied(network)
    return [made for group in groups if not runs_through(group, ids) and (made := _channel_group(group)) is not None]


def chosen_channels(network: nn.Module, example: Tensor, history: PruningHistory) -> list[tuple[ChannelGroup, Tensor]]:
    """The channels of ``network`` that ``history`` takes out of it: groups, and which of their channels.

    Args:
        history: of one step from ``network`` as it is, so that its numbers are those of the network.
    """
    graph = dependency_graph(network, example)
    modules, found = dict(network.named_modules()), []
    for name, outputs, channels in history:
        module = modules[name]
        pruner = graph.get_pruner_of_module(module)
        of, handler = (
            (pruner.get_out_channels, pruner.prune_out_channels)
            if outputs
            else (pruner.get_in_channels, pruner.prune_in_channels)
        )
        made = _channel_group(graph.get_pruning_group(module, handler, list(range(of(module)))))
        if made is not None:
            found.append((made, torch.tensor(channels)))
    return found


def group_lasso(groups: Sequence[ChannelGroup], strength: float) -> Penalty:
    """``strength`` times the norms of all channels, each times the square root of its size, from the start on."""

    def penalty(share: float) -> Tensor:
        norms = [(group.squares() + TINY).sqrt().sum() * group.size**0.5 for group in groups]
        return strength * torch.stack(norms).sum()

    return penalty


def growing(chosen: Sequence[tuple[ChannelGroup, Tensor]], strength: float) -> Penalty:
    """Half the squared norm of the chosen channels, times what grows from 0 to ``strength``."""

    def penalty(share: float) -> Tensor:
        squares = [group.squares()[which.to(group.squares().device)].sum() for group, which in chosen]
        return strength * share / 2 * torch.stack(squares).sum()

    return penalty


def _channel_group(group: tp.Group) -> ChannelGroup | None:
    """None for a group without weights of its own."""
    parts, size, channels = [], 0, len(group[0].idxs)
    for number, (dep, own) in enumerate(list(group)):
        roots = group[number].root_idxs
        layer, columns = dep.layer, dep.pruning_fn in COLUMNS
        known = isinstance(layer, nn.Conv2d | nn.Linear | _BatchNorm) and layer.weight is not None
        if not known or not (columns or dep.pruning_fn in ROWS) or any(root is None for root in roots):
            continue
        if columns and isinstance(layer, nn.Conv2d) and layer.groups > 1:
            continue  # its inputs are counted by its own outputs, which go with them
        parts.append(_Part(layer, columns, torch.tensor(own), torch.tensor(roots)))
        wide = layer.weight.shape[1 if columns else 0] if layer.weight.ndim > 1 else layer.weight.numel()
        size += layer.weight.numel() // wide * (len(own) // channels or 1)
    return ChannelGroup(channels, tuple(parts), size) if parts else None
