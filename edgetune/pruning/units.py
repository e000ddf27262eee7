"""What of a group of channels goes at once: units, and how many channels of each layer one of them is."""

import time
from dataclasses import dataclass
from math import gcd, lcm

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch_pruning.pruner import function

from edgetune.errors import PruningError
from edgetune.pruning.allocate import Side

MAX_SEARCH_SECONDS = 180.0
INPUTS = (function.prune_conv_in_channels, function.prune_linear_in_channels)
OUTPUTS = (function.prune_conv_out_channels, function.prune_linear_out_channels)

Members = tuple[tuple[int, ...], ...]
"""Of each unit, which channels of the group's root it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The units of a group; ``sides`` as in ``allocate.Group``, ``block`` units make a multiple of what is wanted."""

    members: Members
    sides: tuple[Side, ...]
    block: int

    def scores(self, scores: Tensor) -> Tensor:
        """The mean of each unit's ``scores`` [channels]."""
        if len({len(unit) for unit in self.members}) == 1:
            return scores[torch.tensor(self.members)].mean(1)
        return torch.stack([scores[torch.tensor(unit)].mean() for unit in self.members])

    def channels(self, units: tuple[int, ...]) -> list[int]:
        """The root's channels that make up ``units``."""
        return [channel for unit in units for channel in self.members[unit]]


class Deadline:
    """How long a search for groups and their units may take."""

    def __init__(self) -> None:
        self.end = time.monotonic() + MAX_SEARCH_SECONDS

    def check(self) -> None:
        """Raise a PruningError when it has passed."""
        if time.monotonic() > self.end:
            raise PruningError(
                f"torch-pruning has not found this network's groups of channels within {MAX_SEARCH_SECONDS:.0f} s",
                hint="set `[prune] ratio = [0.0]` to go on without pruning",
            )


def units_of(
    graph: tp.DependencyGraph, group: tp.Group, names: dict[nn.Module, str], multiple: int, deadline: Deadline
) -> Units | None:
    """The units of a whole ``group``; None where grouped layers do not divide its channels.

    Args:
        names: of the network's modules.
        multiple: of which the channels of every layer are to be left.

    Raises:
        PruningError: the search takes too long.
    """
    width, count = len(group[0].idxs), _group_count(group)
    if width % count:
        return None
    size = width // count
    if count == 1 and _in_parts(group):
        members, sides = _coupled(graph, group, names, deadline)
    else:
        members = tuple(tuple(range(unit, width, size)) for unit in range(size))
        sides = _sides(group, names, size)
    least = min(channels if isinstance(channels, int) else 1 for _, _, channels in sides)
    return Units(members=members, sides=sides, block=multiple // gcd(multiple, least))


def _group_count(group: tp.Group) -> int:
    """In how many equal parts the grouped convolutions and group norms that the channels run through take them."""
    counts = [1]
    for dep, _ in group:
        layer = dep.layer
        if isinstance(layer, nn.Conv2d) and 1 < layer.groups < layer.out_channels:
            counts.append(layer.groups)
        elif isinstance(layer, nn.GroupNorm):
            counts.append(layer.num_groups)
    return lcm(*counts)


def _in_parts(group: tp.Group) -> bool:
    """Whether a layer has some of the group's channels only, as what is concatenated and then added to others."""
    return any(
        len(channels) % len(group[0].idxs) for dep, channels in group if isinstance(dep.layer, nn.Conv2d | nn.Linear)
    )


def _coupled(
    graph: tp.DependencyGraph, group: tp.Group, names: dict[nn.Module, str], deadline: Deadline
) -> tuple[Members, tuple[Side, ...]]:
    """The root's channels that take each other along, and how many of every layer's go with each of these units.

    GhostNet makes half of its channels from the other half and adds all of them to what has no halves: channel i of a
    sum takes channel i + n/2 along. Where nothing is coupled so, units are single channels.
    """
    root = group[0].dep
    members: list[tuple[int, ...]] = []
    counts: list[dict[tuple[str, str], int]] = []
    left = set(group[0].idxs)
    while left:
        deadline.check()
        one = graph.get_pruning_group(root.target.module, root.handler, [min(left)])
        members.append(tuple(sorted(left & set(one[0].idxs))))
        counts.append({(name, side): channels for name, side, channels in _sides(one, names, 1)})
        left -= set(members[-1])
    sides = {
        key: tuple(count.get(key, 0) for count in counts) for key in dict.fromkeys(key for c in counts for key in c)
    }
    return tuple(members), tuple(
        (name, side, each[0] if len(set(each)) == 1 else each) for (name, side), each in sides.items()
    )


def _sides(group: tp.Group, names: dict[nn.Module, str], units: int) -> tuple[tuple[str, str, int], ...]:
    """(layer, "in" or "out", channels of it that one unit is) of every convolution and linear layer in the group."""
    sides: dict[tuple[str, str], int] = {}
    for dep, channels in group:
        if not isinstance(dep.layer, nn.Conv2d | nn.Linear):
            continue
        name, share = names[dep.layer], max(1, len(channels) // units)
        if dep.pruning_fn in INPUTS:
            sides[name, "in"] = share
        elif dep.pruning_fn in OUTPUTS:
            sides[name, "out"] = share
        else:  # depthwise: one width
            sides[name, "in"] = sides[name, "out"] = share
    return tuple((name, side, share) for (name, side), share in sides.items())
