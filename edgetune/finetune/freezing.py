"""Which part of a network learns, and in which mode each module computes."""

from torch import nn

from edgetune.finetune.stages import Stages

BatchNorm = nn.modules.batchnorm._BatchNorm  # what all batch norms derive from; torch has no public name for it


def freeze_below(network: nn.Module, stages: Stages, first: int, added: frozenset[str] = frozenset()) -> None:
    """Weights of stages before ``first`` get no gradient, the others do.

    Where a strategy has ``added`` weights (their names), only they and the head's get one.
    """
    lowest = stages.head if added else first
    for name, weight in network.named_parameters():
        weight.requires_grad_(name in added or stages.of(name) >= lowest)


def set_modes(network: nn.Module, stages: Stages, first: int, batch_norm: str) -> None:
    """Train mode, but for stages before ``first``: those keep their statistics and drop nothing.

    With ``batch_norm`` "frozen" every batch norm uses, and keeps, the statistics it came with.
    """
    network.train()
    for name, module in network.named_modules():
        frozen = bool(name) and stages.of(name) < first
        if frozen or (batch_norm == "frozen" and isinstance(module, BatchNorm)):
            module.training = False
