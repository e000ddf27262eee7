"""The shapes of a network's layers, as they run."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgetune.measure.layer_model import LayerShape


@torch.no_grad()
def layer_shapes(network: nn.Module, example: Tensor) -> dict[str, LayerShape]:
    """{module name: shape} of every convolution and linear layer that ``example`` [1, 3, H, W] runs through.

    A linear layer on a sequence [1, T, C] counts as a 1 x 1 convolution over T pixels.
    """
    shapes: dict[str, LayerShape] = {}
    hooks = [
        module.register_forward_hook(_recorder(name, shapes))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _recorder(name: str, shapes: dict[str, LayerShape]) -> Callable[..., None]:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if isinstance(module, nn.Linear):
            tokens = inputs[0].numel() // module.in_features
            shapes[name] = LayerShape(inputs=module.in_features, outputs=module.out_features, height=tokens)
        elif isinstance(module, nn.Conv2d) and not isinstance(module.padding, str):
            shapes[name] = LayerShape(
                kernel=_pair(module.kernel_size),
                stride=_pair(module.stride),
                padding=_pair(module.padding),
                dilation=_pair(module.dilation),
                groups=module.groups,
                inputs=module.in_channels,
                outputs=module.out_channels,
                height=inputs[0].shape[2],
                width=inputs[0].shape[3],
            )

    return record


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return values[0], values[1]
