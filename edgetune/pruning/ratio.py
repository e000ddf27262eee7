"""A share of the channels, as torch-pruning's pruner ranks them, but with bounds, whole units and rounding of our own.

torch-pruning 1.6 rounds what is left down, so that a small share takes a whole multiple; it takes units of grouped
layers for channels when it does; and it looks at its largest share before a step and not in one.
"""

from collections.abc import Callable

import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgetune.pruning.units import Deadline, Units, units_of

OUT_OF_REACH = 1e30  # above any score


class Keeping(tp.importance.Importance):  # type: ignore[misc]
    """Scores under which at most the share ``most`` of a group goes: those of its best units are out of reach.

    ``found`` has the units and their scores of every group that was asked for, by the module at its root.
    """

    def __init__(
        self, scores: Callable[[tp.Group], Tensor | None], most: float, network: nn.Module, multiple: int
    ) -> None:
        self.scores, self.most, self.multiple = scores, most, multiple
        self.names = {module: name for name, module in network.named_modules()}
        self.deadline = Deadline()
        self.found: dict[nn.Module, tuple[Units, Tensor]] = {}

    def __call__(self, group: tp.Group) -> Tensor | None:
        """Scores [channels], the same for all of a unit; None where there are none."""
        scores = self.scores(group)
        units = units_of(group._DG, group, self.names, self.multiple, self.deadline) if scores is not None else None
        if scores is None or units is None:
            return None
        by_unit = units.scores(scores)
        size = len(by_unit)
        kept = max(1, round((1.0 - self.most) * size))
        best = by_unit.argsort()[size - kept :]
        by_unit[best] = OUT_OF_REACH * (1.0 + torch.arange(kept) / kept)  # in their order all the same
        self.found[group[0].dep.target.module] = units, by_unit
        even = torch.empty_like(scores)
        for score, members in zip(by_unit, units.members, strict=True):
            even[list(members)] = score
        return even


def prune_share(pruner: tp.pruner.BasePruner, keeping: Keeping) -> None:
    """Take what ``pruner`` (that does not round) chooses, rounded to the nearest multiple; one of it stays at least.

    Where that is nothing, nothing is noted in the history.
    """
    for group in pruner.step(interactive=True):
        root = group[0].dep
        units, scores = keeping.found[root.target.module]
        asked = len(group[0].idxs) * len(scores) / sum(map(len, units.members))
        left = int((len(scores) - asked) / units.block + 0.5) * units.block
        gone = len(scores) - max(left, units.block)
        if gone > 0:
            channels = units.channels(tuple(scores.argsort()[:gone].tolist()))
            chosen = pruner.DG.get_pruning_group(root.target.module, root.handler, sorted(channels))
            if pruner.DG.check_pruning_group(chosen):
                chosen.prune()
