"""Try a network once before hours go into it: does it take an input, and does it give logits?"""

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from edgetune.errors import ModelError
from edgetune.tasks.image_classification import logits_of

HINT = "it must be an nn.Module that maps float32 [N, 3, H, W] to logits [N, num_classes]"


def check_network(network: nn.Module, example: Tensor, num_classes: int, label: str) -> None:
    """Run ``network`` once on two copies of ``example``, in eval mode, without changing it.

    Args:
        label: what the network is called in an error.

    Raises:
        ModelError: it fails, has nothing to train, or gives something else than logits [2, num_classes].
    """
    parameters = list(network.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise ModelError(f"{label} has lazy layers that have no weights yet", hint="run it once in its factory")
    if not any(parameter.requires_grad for parameter in parameters):
        what = "only frozen weights" if parameters else "no weights"
        raise ModelError(
            f"{label} has {what}: there is nothing to train", hint="leave freezing to `[finetune] strategy`"
        )
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            output = network(torch.cat([example, example]))
        shape = tuple(logits_of(output).shape)
    except Exception as problem:  # the user's code may raise anything
        size = "x".join(map(str, example.shape[1:]))
        raise ModelError(f"{label} fails on an input of {size}: {_plainly(problem)}", hint=HINT) from problem
    finally:
        for module, mode in modes.items():
            module.training = mode
    if shape != (2, num_classes):
        raise ModelError(
            f"{label} gives {list(shape)} for two inputs, not logits [2, {num_classes}]",
            hint=f"the data has {num_classes} classes; {HINT}",
        )


def _plainly(problem: Exception) -> str:
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:300]}"
