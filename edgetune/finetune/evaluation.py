"""How good a network is on samples with labels, in PyTorch."""

import torch
from torch import nn

from edgetune.finetune.options import Batches
from edgetune.finetune.update import to_device
from edgetune.tasks.image_classification import correct


def evaluate(network: nn.Module, batches: Batches, device: torch.device) -> tuple[float, float]:
    """(accuracy, mean cross-entropy) of ``network`` in float32 eval mode."""
    right, loss, total = tally(network, batches, device)
    return right / max(1, total), loss / max(1, total)


@torch.no_grad()
def tally(network: nn.Module, batches: Batches, device: torch.device) -> tuple[int, float, int]:
    """(number right, summed cross-entropy, number) of ``network`` in float32 eval mode."""
    network.eval()
    right, total, loss = 0, 0, 0.0
    for images, labels in batches:
        batch_right, batch_loss = correct(network, to_device(images, device), labels.to(device))
        right, loss, total = right + batch_right, loss + batch_loss, total + len(labels)
    return right, loss, total
