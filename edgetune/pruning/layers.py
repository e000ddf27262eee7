"""Rules by which layers of a user's own lose channels; torch-pruning knows those of torch."""

from typing import Any

from torch import nn
from torch_pruning.pruner.function import BasePruningFunc

from edgetune.errors import PruningError
from edgetune.models.tracing import CUSTOM_LAYERS


def register_layer(layer: type[nn.Module], pruner: Any) -> None:
    """Have every ``layer`` of a network pruned by ``pruner``, also where a pruned network is loaded again.

    Call it where the layer is defined, so that whoever makes the network has the rule. It counts for the class itself;
    one derived from it needs a rule of its own. What is inside of such a layer is the rule's affair.

    Args:
        pruner: a ``torch_pruning.BasePruningFunc``.

    Raises:
        PruningError: these are no class of layers and no rule.
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise PruningError(
            f"{layer!r} is no class of layers", hint="give the class itself, derived from torch.nn.Module"
        )
    if not isinstance(pruner, BasePruningFunc):
        raise PruningError(
            f"{pruner!r} is no rule to prune {layer.__name__} by",
            hint="give an object (not its class) derived from torch_pruning.BasePruningFunc",
        )
    CUSTOM_LAYERS[layer] = pruner
