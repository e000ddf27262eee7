"""The channels of a network that can only go together, as torch-pruning's dependency graph finds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch_pruning as tp
from torch import Tensor, nn

from edgetune.pruning.allocate import KEEP_SHARE, Group, Side
from edgetune.pruning.units import Deadline, Units, units_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableGroup:
    """A group for ``allocate``, and what it takes to remove units of it."""

    group: Group
    module: nn.Module
    pruning_fn: Any
    units: Units


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
    deadline, names = Deadline(), {module: name for name, module in network.named_modules()}
    found = []
    for group in graph.get_all_groups(ignored_layers=ignored, root_module_types=[nn.Conv2d, nn.Linear]):
        deadline.check()
        scores = importance(group)
        units = units_of(graph, group, names, channel_multiple, deadline) if scores is not None else None
        if scores is None or units is None:
            continue
        root = group[0].dep
        found.append(
            PrunableGroup(
                group=Group(
                    scores=units.scores(scores).tolist(),
                    block=units.block,
                    sides=units.sides,
                    most=_most(units.sides, most),
                ),
                module=root.target.module,
                pruning_fn=root.handler,
                units=units,
            )
        )
    return found


def _most(sides: tuple[Side, ...], most: Mapping[str, float]) -> float:
    """The smallest share among the named modules that make the group's channels."""
    makers = [name for name, side, _ in sides if side == "out"]
    own = [share for named, share in most.items() for name in makers if f"{name}.".startswith(f"{named}.")]
    return min([1.0 - KEEP_SHARE, *own])
