"""Squared weight times the loss's second derivative by it, half of that summed over a channel (LeCun et al. 1989).

The second derivative is approximated by the mean squared gradient of small batches, as in ``fisher``, which differs in
taking a whole feature map for one parameter.
"""

import torch_pruning as tp
from torch import Tensor, nn

from edgetune.pruning.criteria.batches import Batches, backward
from edgetune.pruning.criteria.fisher import BATCH

COMPARABLE = True
NORMALIZATION = "none"
REDUCES = True


def importance(network: nn.Module, batches: Batches, reduction: str = "mean") -> tp.importance.Importance:
    """Group Hessian importance: it estimates a loss, which is the same everywhere."""
    squares: dict[nn.Parameter, Tensor] = {}
    parts = 0
    for images, labels in batches:
        for part, wanted in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            network.zero_grad(set_to_none=True)
            backward(network, part, wanted)
            parts += 1
            for parameter in network.parameters():
                if parameter.grad is not None:
                    before = squares.get(parameter)
                    square = parameter.grad.square()
                    squares[parameter] = square if before is None else before + square
    scorer = tp.importance.GroupHessianImportance(group_reduction=reduction, normalizer=None)
    # Its own accumulate_grad keeps only the last batch (torch-pruning 1.6.1).
    scorer._accu_grad, scorer._counter = squares, dict.fromkeys(squares, parts)
    return scorer
