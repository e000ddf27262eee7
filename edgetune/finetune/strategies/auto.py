"""Choose a strategy by what is known before training: images per class, and whether the network is pretrained."""

from collections.abc import Sequence
from dataclasses import dataclass

FEW = 20  # training images of the median class
SHARE = 6  # one in so many stages is trained on few images


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A strategy, the stages it trains if it is "partial", and why."""

    strategy: str
    stages: int
    reason: str


def choose(class_counts: Sequence[int], stages: int, *, pretrained: bool) -> Choice:
    """The strategy for a dataset.

    Args:
        class_counts: training images of each class.
        stages: how many the backbone has.
        pretrained: whether the backbone has weights worth keeping.
    """
    median = sorted(class_counts)[len(class_counts) // 2]
    if not pretrained:
        return Choice(
            strategy="full", stages=stages, reason="the network starts from random weights: there is nothing to keep"
        )
    if median >= FEW:
        reason = f"the median class has {median} training images, at least {FEW}"
        return Choice(strategy="full", stages=stages, reason=reason)
    few = max(1, round(stages / SHARE))
    return Choice(
        strategy="partial",
        stages=few,
        reason=f"the median class has {median} training images, fewer than {FEW}: too few to move a whole network, so "
        f"only the head and the last {few} of {stages} stages learn",
    )
