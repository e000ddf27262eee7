"""The channels of a network that can only go together, as torch-pruning's dependency graph finds them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch_pruning.pruner import function

from edgetune.errors import PruningError
from edgetune.pruning.allocate import KEEP_SHARE, Group, Side

MAX_SEARCH_SECONDS = 180.0
OUT_OF_REACH = 1e30  # above any score
INPUTS = (function.prune_conv_in_channels, function.prune_linear_in_channels)
OUTPUTS = (function.prune_conv_out_channels, function.prune_linear_out_channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableGroup:
    """A group for ``allocate``, and what it takes to remove units of it."""

    group: Group
    module: nn.Module
    pruning_fn: Any
    members: tuple[tuple[int, ...], ...]  # the channels of each unit

    def channels(self, units: tuple[int, ...]) -> list[int]:
        """The channels that make up ``units``."""
        return [channel for unit in units for channel in self.members[unit]]


def prunable_groups(
    network: nn.Module,
    graph: tp.DependencyGraph,
    ignored: list[nn.Module],
    importance: Callable[[tp.Group], Tensor | None],
    channel_multiple: int,
    most: Mapping[str, float],
) -> list[PrunableGroup]:
    """Every group of channels that may go, with scores.

    Left out are groups that the criterion does not know.

    Args:
        most: module name -> share of the channels it makes that may go; it counts for what is inside the module too.

    Raises:
        PruningError: torch-pruning's search takes too long.
    """
    deadline = time.monotonic() + MAX_SEARCH_SECONDS
    names = {module: name for name, module in network.named_modules()}
    found = []
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=[nn.Conv2d, nn.Linear]):
        _check_time(deadline)
        scores = importance(group)
        count = _group_count(group)
        if scores is None or len(scores) % count:
            continue
        if count == 1 and _in_parts(group):
            members, sides = _coupled(graph, group, names, deadline)
        else:
            size = len(scores) // count
            members = tuple(tuple(range(unit, len(scores), size)) for unit in range(size))
            sides = _sides(group, names, size)
        root, least = group[0].dep, min(channels if isinstance(channels, int) else 1 for _, _, channels in sides)
        found.append(
            PrunableGroup(
                group=Group(
                    scores=[float(scores[list(unit)].mean()) for unit in members],
                    block=channel_multiple // gcd(channel_multiple, least),
                    sides=sides,
                    most=_most(sides, most),
                ),
                module=root.target.module,
                pruning_fn=root.handler,
                members=members,
            )
        )
    return found


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise PruningError(
            f"torch-pruning has not found this network's groups of channels within {MAX_SEARCH_SECONDS:.0f} s",
            hint="set `[prune] ratio = [0.0]` to go on without pruning",
        )


def _in_parts(group: tp.Group) -> bool:
    """Whether a layer has some of the group's channels only, as what is concatenated and then added to others."""
    return any(
        len(channels) % len(group[0].idxs) for dep, channels in group if isinstance(dep.layer, nn.Conv2d | nn.Linear)
    )


def _coupled(
    graph: tp.DependencyGraph, group: tp.Group, names: dict[nn.Module, str], deadline: float
) -> tuple[tuple[tuple[int, ...], ...], tuple[Side, ...]]:
    """The root's channels that take each other along, and how many of every layer's go with each of these units.

    GhostNet makes half of its channels from the other half and adds all of them to what has no halves: channel i of a
    sum takes channel i + n/2 along. Where nothing is coupled so, units are single channels.
    """
    root = group[0].dep
    members: list[tuple[int, ...]] = []
    counts: list[dict[tuple[str, str], int]] = []
    left = set(group[0].idxs)
    while left:
        _check_time(deadline)
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


class Keeping(tp.importance.Importance):  # type: ignore[misc]
    """Scores under which at most the share ``most`` of a group goes: those of its best units are out of reach.

    torch-pruning 1.6 knows a largest ratio too, but looks at it before a step and not in one.
    """

    def __init__(self, scores: Callable[[tp.Group], Tensor | None], most: float) -> None:
        self.scores, self.most = scores, most

    def __call__(self, group: tp.Group) -> Tensor | None:
        """Scores [channels]; None where there are none."""
        scores, count = self.scores(group), _group_count(group)
        if scores is None or len(scores) % count:
            return scores
        by_unit = scores.clone().view(count, -1)
        kept = by_unit.shape[1] - int(self.most * by_unit.shape[1] + 1e-6)
        best = by_unit.mean(0).argsort()[by_unit.shape[1] - kept :]
        by_unit[:, best] = OUT_OF_REACH * (1.0 + torch.arange(kept) / max(kept, 1))  # in their order all the same
        return by_unit.flatten()


def _most(sides: tuple[Side, ...], most: Mapping[str, float]) -> float:
    """The smallest share among the named modules that make the group's channels."""
    makers = [name for name, side, _ in sides if side == "out"]
    own = [share for named, share in most.items() for name in makers if f"{name}.".startswith(f"{named}.")]
    return min([1.0 - KEEP_SHARE, *own])


def _group_count(group: tp.Group) -> int:
    """Groups of the grouped convolution or group norm the channels run through; 1 without one."""
    counts = [1]
    for dep, _ in group:
        layer = dep.layer
        if isinstance(layer, nn.Conv2d) and 1 < layer.groups < layer.out_channels:
            counts.append(layer.groups)
        elif isinstance(layer, nn.GroupNorm):
            counts.append(layer.num_groups)
    return max(counts)


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
