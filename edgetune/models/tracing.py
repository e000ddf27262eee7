"""Where torch-pruning cannot follow a network's channels, and what is left whole because of it.

Of ShuffleNetV2 it divides by zero at the channel shuffle; of window attention (Swin) it takes the cutting into windows
for a flattening of channels, and the indices it follows multiply with every block until it does not end. In both, the
channels between two layers of one block are simple to follow: these are pruned, and what blocks hand on stays.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch_pruning as tp
from torch import Tensor, nn
from torchvision.models import shufflenetv2
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.ops import MLP

WINDOWED = ("WindowAttention",)  # of timm, by name: it is an extra
PERCEPTRONS = ("Mlp",)
CUSTOM_LAYERS: dict[type[nn.Module], tp.BasePruningFunc] = {}  # ``pruning.layers.register_layer`` adds to it


def dependency_graph(network: nn.Module, example: Tensor) -> tp.DependencyGraph:
    """torch-pruning's graph of ``network``, traced with ``example``, without its warnings on its inner workings."""
    with traceable(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tp.DependencyGraph().build_dependency(network, example_inputs=example, customized_pruners=CUSTOM_LAYERS)


@contextmanager
def traceable() -> Iterator[None]:
    """As long as the block lasts, channels are not shuffled: for tracing alone, with ``handed_on`` left whole."""
    shuffle = shufflenetv2.channel_shuffle
    shufflenetv2.channel_shuffle = lambda features, groups: features
    try:
        yield
    finally:
        shufflenetv2.channel_shuffle = shuffle


def handed_on(network: nn.Module) -> list[nn.Module]:
    """Layers whose output channels cannot be followed; none of most networks."""
    inside = {layer for module in network.modules() for layer in _inside(module)}
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return [layer for layer in layers if layer not in inside] if _hard(network) else []


def _hard(network: nn.Module) -> bool:
    return any(
        isinstance(module, shufflenetv2.InvertedResidual | ShiftedWindowAttention) or type(module).__name__ in WINDOWED
        for module in network.modules()
    )


def _inside(module: nn.Module) -> list[nn.Module]:
    """The layers of a block whose channels end in it."""
    if isinstance(module, shufflenetv2.InvertedResidual):
        return [module.branch2[0], module.branch2[3]]  # a pointwise one and the depthwise one behind it
    if isinstance(module, MLP):
        return list(module)[:-2]  # but for the last linear layer and the dropout behind it
    first = getattr(module, "fc1", None) if type(module).__name__ in PERCEPTRONS else None
    return [first] if isinstance(first, nn.Module) else []
