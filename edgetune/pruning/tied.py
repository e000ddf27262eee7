"""Parameters that several modules share (``b.weight = a.weight``): these modules are left whole.

Taking channels out makes new parameters for each module by itself, so that what was stored once would be stored, and
trained, as often as it is used. A module that is called several times has no such trouble: it is one module.
"""

from collections import Counter
from collections.abc import Callable

import torch_pruning as tp
from torch import Tensor, nn


def tied(network: nn.Module) -> frozenset[int]:
    """Ids of the parameters that several modules of ``network`` have, and of these modules."""
    owners = Counter(id(own) for module in network.modules() for own in module.parameters(recurse=False))
    shared = {parameter for parameter, count in owners.items() if count > 1}
    modules = {
        id(module) for module in network.modules() if any(id(own) in shared for own in module.parameters(recurse=False))
    }
    return frozenset(shared | modules)


def runs_through(group: tp.Group, ids: frozenset[int]) -> bool:
    """Whether the group has channels of what ``ids`` names, on either side."""
    return any(id(dep.layer) in ids for dep, _ in group)


def sparing(network: nn.Module, scores: Callable[[tp.Group], Tensor | None]) -> Callable[[tp.Group], Tensor | None]:
    """``scores``, but None for groups that run through what is tied."""
    ids = tied(network)
    return lambda group: None if runs_through(group, ids) else scores(group)
