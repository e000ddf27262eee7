"""Image classification: logits [N, K] against class indices [N]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def cross_entropy(
    logits: Tensor, labels: Tensor, label_smoothing: float, class_weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy with label smoothing (Szegedy et al. 2016), in float32.

    Args:
        labels: class indices int64 [N], or the share of each class float32 [N, K] (mixed images).
        class_weights: [K]; the sum is divided by N all the same, so that parts of a batch add up to the whole.
    """
    if class_weights is None:
        return functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    weights = class_weights.to(logits.device)
    total = functional.cross_entropy(
        logits.float(), labels, weight=weights, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / len(labels)


def balancing_weights(counts: Sequence[int]) -> Tensor:
    """Weights [K] inverse to the number of samples of each class, with mean 1 over the samples."""
    found = torch.tensor(counts, dtype=torch.float32)
    return found.sum() / (len(counts) * found.clamp(min=1))


def distillation(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Mean KL divergence to the teacher's softened outputs, times T^2 (Hinton et al. 2015)."""
    return (
        functional.kl_div(
            functional.log_softmax(logits.float() / temperature, dim=1),
            functional.log_softmax(teacher_logits.float() / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        * temperature**2
    )


def logits_of(output: object) -> Tensor:
    """The main logits of a network's output (torchvision's GoogLeNet and Inception train with auxiliary ones)."""
    if isinstance(output, tuple):
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(f"the network returned {type(output).__name__}, not logits")
    return output


@torch.no_grad()
def correct(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[int, float]:
    """(number right, summed cross-entropy) on one batch."""
    logits = logits_of(network(images)).float()
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    return int((logits.argmax(1) == labels).sum()), float(loss)
