"""Find the classification head: what changes shape when the number of classes does."""

from collections.abc import Callable

from torch import nn


def head_keys(factory: Callable[[int], nn.Module], num_classes: int) -> frozenset[str]:
    """State-dict keys that belong to the head (also auxiliary heads).

    ``factory(n)`` makes the network for n classes; keys whose shape differs between n and n + 1 are the head's.
    """
    ours, other = factory(num_classes).state_dict(), factory(num_classes + 1).state_dict()
    return frozenset(key for key, value in ours.items() if key in other and value.shape != other[key].shape)


def head_modules(factory: Callable[[int], nn.Module], num_classes: int) -> tuple[str, ...]:
    """Names of the head's modules, which pruning must leave whole."""
    return tuple(sorted({key.rpartition(".")[0] for key in head_keys(factory, num_classes)}))
