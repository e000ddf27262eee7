"""What the optimizer is given: weights by rate and by decay."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from edgetune.finetune.stages import Stages


def parameter_groups(
    network: nn.Module, stages: Stages, *, weight_decay: float, layer_decay: float = 1.0, l2_sp: float = 0.0
) -> list[dict[str, Any]]:
    """AdamW parameter groups; norms and biases (one-dimensional) are not decayed (He et al. 2019, "Bag of Tricks").

    ``scale`` of a group multiplies the learning rate: 1 for the head and ``layer_decay`` times less for each
    stage below (Clark et al. 2020, ELECTRA). With ``l2_sp`` only the head is decayed towards zero: the
    backbone is drawn to where it started instead (``toward_start``).
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        stage = stages.of(name)
        decay = weight_decay if weight.ndim > 1 and (not l2_sp or stage == stages.head) else 0.0
        groups.setdefault((layer_decay ** (stages.head - stage), decay), []).append(weight)
    return [
        {"params": weights, "weight_decay": decay, "scale": scale}
        for (scale, decay), weights in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def toward_start(
    network: nn.Module, stages: Stages, start: dict[str, Tensor], strength: float
) -> Callable[[float], None]:
    """L2-SP (Li et al. 2018, "Explicit Inductive Bias for Transfer Learning"), decoupled as AdamW's decay is.

    Returns a function of the learning rate that moves each matrix of the backbone that is trained by
    rate * strength towards its value in ``start`` (state-dict keys).
    """
    backbone = [
        (weight, start[name].to(weight.device))
        for name, weight in network.named_parameters()
        if stages.of(name) != stages.head and weight.ndim > 1
    ]

    def pull(rate: float) -> None:
        for weight, origin in backbone:
            if weight.requires_grad:
                weight.detach().lerp_(origin, rate * strength)

    return pull
