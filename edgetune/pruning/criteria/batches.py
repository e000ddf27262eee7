"""What criteria look at, and the gradients they look with."""

from collections.abc import Iterable

from torch import Tensor, nn

from edgetune.tasks.image_classification import cross_entropy, logits_of

Batches = Iterable[tuple[Tensor, Tensor]]
"""(images [N, 3, H, W], labels [N])."""


def backward(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Add the gradients of the mean cross-entropy of one batch."""
    cross_entropy(logits_of(network(images)), labels, 0.0).backward()
