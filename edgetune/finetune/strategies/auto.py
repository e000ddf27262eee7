"""Choose a strategy by what is known before training: images per class, and whether the network is pretrained."""

from collections.abc import Sequence

FEW = 20  # training images of the median class


def choose(class_counts: Sequence[int], fresh: int, weights: int) -> tuple[str, str]:
    """(strategy, the reason in one sentence).

    Args:
        class_counts: training images of each class.
        fresh, weights: tensors of the network that start at random, and all of them.
    """
    median = sorted(class_counts)[len(class_counts) // 2]
    if fresh * 2 > weights:
        return "full", "the network starts from random weights, so there is no backbone to keep"
    if median < FEW:
        return (
            "feature-extraction",
            f"the median class has {median} training images, fewer than {FEW}: too few to move a whole network",
        )
    return "full", f"the median class has {median} training images, at least {FEW}"
