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
from edgetune.pruning.allocate import KEEP_SHARE, Group

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
    group_count: int  # of the grouped layer in it: a unit is one channel of each of its groups

    def channels(self, units: tuple[int, ...]) -> list[int]:
        """The channels that make up ``units``."""
        size = len(self.group.scores)
        return [unit + part * size for part in range(self.group_count) for unit in units]


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
    started = time.monotonic()
    names = {module: name for name, module in network.named_modules()}
    found = []
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=[nn.Conv2d, nn.Linear]):
        if time.monotonic() - started > MAX_SEARCH_SECONDS:
            raise PruningError(
                f"torch-pruning has not found this network's groups of channels within {MAX_SEARCH_SECONDS:.0f} s",
                hint="set `[prune] ratio = [0.0]` to go on without pruning",
            )
        scores = importance(group)
        count = _group_count(group)
        if scores is None or len(scores) % count:
            continue
        root, sides = group[0].dep, _sides(group, names, count)
        found.append(
            PrunableGroup(
                group=Group(
                    scores=scores.view(count, -1).mean(0).tolist(),
                    block=channel_multiple // gcd(channel_multiple, count),
                    sides=sides,
                    most=_most(sides, most),
                ),
                module=root.target.module,
                pruning_fn=root.handler,
                group_count=count,
            )
        )
    return found


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


def _most(sides: tuple[tuple[str, str, int], ...], most: Mapping[str, float]) -> float:
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


def _sides(group: tp.Group, names: dict[nn.Module, str], count: int) -> tuple[tuple[str, str, int], ...]:
    """(layer, "in" or "out", channels of it that one unit is) of every convolution and linear layer in the group."""
    sides: dict[tuple[str, str], int] = {}
    width = len(group[0].idxs)
    for dep, channels in group:
        if not isinstance(dep.layer, nn.Conv2d | nn.Linear):
            continue
        name, share = names[dep.layer], max(1, len(channels) // width) * count
        if dep.pruning_fn in INPUTS:
            sides[name, "in"] = share
        elif dep.pruning_fn in OUTPUTS:
            sides[name, "out"] = share
        else:  # depthwise: one width
            sides[name, "in"] = sides[name, "out"] = share
    return tuple((name, side, share) for (name, side), share in sides.items())
