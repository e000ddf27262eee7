"""Take channels out of a network with torch-pruning, and count what is left."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import Tensor, nn

from edgetune.errors import PruningError, RecipeError
from edgetune.models.checkpoint import PruningHistory
from edgetune.pruning.criteria import CRITERIA
from edgetune.tasks.image_classification import cross_entropy, logits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """What to remove: a share ``ratio`` of channels, ranked by ``criterion`` within ``scope``."""

    ratio: float
    criterion: str
    scope: str  # global: the weakest anywhere; local: the same share of every layer
    channel_multiple: int
    protected: tuple[str, ...]  # module names left whole


def prune(
    network: nn.Module, example: Tensor, options: PruneOptions, batches: Iterable[tuple[Tensor, Tensor]]
) -> PruningHistory:
    """Prune ``network`` in place and return what was removed.

    Channel counts are rounded to multiples of ``channel_multiple``. Needs the network on the CPU.

    Args:
        example: an input [1, 3, H, W] to trace with.
        batches: (images [N, 3, H, W], labels [N]) to accumulate gradients on; read only by criteria that need them.

    Raises:
        PruningError: nothing can be removed, or the network cannot be traced.
        RecipeError: a protected module does not exist.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in options.protected if name not in modules]:
        raise RecipeError(
            f"`prune.protect` names {unknown[0]!r}, which the network does not have",
            hint="its modules: " + ", ".join(name for name in list(modules)[1:12]) + ", ...",
        )
    before = count_parameters(network)
    criterion = importlib.import_module(CRITERIA[options.criterion])
    network.eval()
    if criterion.NEEDS_GRADIENTS:
        _accumulate_gradients(network, batches)
    try:
        pruner = tp.pruner.BasePruner(
            network,
            example,
            importance=criterion.importance(),
            global_pruning=options.scope == "global",
            pruning_ratio=options.ratio,
            max_pruning_ratio=min(0.9, 2.5 * options.ratio),  # a global ranking must not empty a layer
            round_to=options.channel_multiple,
            ignored_layers=[modules[name] for name in options.protected],
        )
        pruner.step()
        with torch.no_grad():
            network(example)
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError, IndexError) as problem:
        raise PruningError(
            f"torch-pruning cannot prune this network: {type(problem).__name__}: {problem}",
            hint="set `[prune] ratio = [0.0]`, or name the layer it stumbles over in `[prune] protect`",
        ) from problem
    network.zero_grad(set_to_none=True)
    history: PruningHistory = [
        (name, bool(out), [int(i) for i in idxs]) for name, out, idxs in pruner.pruning_history()
    ]
    if not history or count_parameters(network) == before:
        raise PruningError(
            f"a ratio of {options.ratio} removes nothing once channels are rounded to {options.channel_multiple}",
            hint="ask for a larger ratio",
        )
    return history


def count_parameters(network: nn.Module) -> int:
    """Number of trainable and frozen weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def _accumulate_gradients(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    network.zero_grad(set_to_none=True)
    for images, labels in batches:
        cross_entropy(logits_of(network(images)), labels, 0.0).backward()
