"""A criterion with its options: how the layers of a group become one score, and how groups become alike.

What couples several layers is scored once in each (Fang et al. 2023, DepGraph, section 3.3, average them); scores of
groups are then divided by what is usual in the group, so that a ranking over all of them does not empty the layers
whose scores are small by nature.
"""

import importlib
from collections.abc import Callable

import torch_pruning as tp
from torch import Tensor, nn

from edgetune.errors import RecipeError
from edgetune.pruning.criteria import CRITERIA
from edgetune.pruning.criteria.batches import Batches

AUTO = "auto"
REDUCTIONS = ("mean", "sum", "max", "prod", "first")
TINY = 1e-12
NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda scores: scores,
    "mean": lambda scores: scores / scores.mean().clamp_min(TINY),
    "sum": lambda scores: scores / scores.sum().clamp_min(TINY),
    "max": lambda scores: scores / scores.max().clamp_min(TINY),
    "gaussian": lambda scores: (scores - scores.mean()) / (scores.std(unbiased=False) + TINY),
}


class Scores(tp.importance.Importance):  # type: ignore[misc]
    """The scores of ``criterion``, made alike."""

    def __init__(self, criterion: tp.importance.Importance, normalization: str) -> None:
        self.criterion, self.normalise = criterion, NORMALIZATIONS[normalization]

    def __call__(self, group: tp.Group) -> Tensor | None:
        """Scores [channels] of a group; None where the criterion does not know it."""
        scores = self.criterion(group)
        return None if scores is None else self.normalise(scores)


def make_scores(
    name: str, network: nn.Module, batches: Batches, *, reduction: str = AUTO, normalization: str = AUTO
) -> tuple[Scores, bool]:
    """The criterion ``name``, and whether its scores of different layers compare.

    Args:
        reduction: of ``REDUCTIONS``, or "auto": the criterion's own.
        normalization: of ``NORMALIZATIONS``, or "auto".

    Raises:
        RecipeError: the criterion has no such option.
        PruningError: it does not suit the network.
    """
    module = importlib.import_module(CRITERIA[name])
    if reduction != AUTO and not module.REDUCES:
        raise RecipeError(
            f"`prune.group_reduction` means nothing to the criterion {name}", hint="leave it out: it has its own"
        )
    if normalization != AUTO and module.NORMALIZATION is None:
        raise RecipeError(f"`prune.normalization` cannot be set for {name}, which is one itself", hint="leave it out")
    options = {} if reduction == AUTO else {"reduction": reduction}
    found = module.importance(network, batches, **options)
    return Scores(found, normalization if normalization != AUTO else module.NORMALIZATION or "none"), module.COMPARABLE
