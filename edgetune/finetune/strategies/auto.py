"""Choose a strategy: by images per class, by whether the network is pretrained, and by the time there is.

What is not known before is how much the data is like what the network was pretrained on. ``edgetune.steps.comparing``
finds it out: a head on frozen features is tried beside the choice, and validation decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FEW = 20  # training images of the median class
SHARE = 6  # one in so many stages is trained on few images
COMPARED = 300  # training images of the median class, below which frozen features are tried as well
ROOM = 0.5  # of the hours of a build that fine-tuning may take; the rest is for compression
BACKWARD = 2.0  # forward passes that a backward pass through the same layers takes


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
    median = median_count(class_counts)
    if not pretrained:
        return Choice(
            strategy="full", stages=stages, reason="the network starts from random weights: there is nothing to keep"
        )
    if median >= FEW:
        reason = f"the median class has {median} training images, at least {FEW}"
        return Choice(strategy="full", stages=stages, reason=reason)
    few = few_stages(stages)
    return Choice(
        strategy="partial",
        stages=few,
        reason=f"the median class has {median} training images, fewer than {FEW}: too few to move a whole network, so "
        f"only the head and the last {few} of {stages} stages learn",
    )


def median_count(class_counts: Sequence[int]) -> int:
    """Training images of the median class."""
    return sorted(class_counts)[len(class_counts) // 2]


def few_stages(stages: int) -> int:
    """How many of ``stages`` are trained where not all are."""
    return max(1, round(stages / SHARE))


def is_compared(class_counts: Sequence[int], *, pretrained: bool, hours: float | None) -> bool:
    """Whether frozen features are tried: they may win on little data, and tell how long an epoch takes."""
    return pretrained and (hours is not None or median_count(class_counts) < COMPARED)


def training_hours(choice: Choice, stages: int, epochs: int, samples: tuple[int, int], seconds: float) -> float:
    """What training as chosen is likely to take; 0 for frozen features, which are there by then.

    Args:
        samples: of train and val.
        seconds: of one forward pass of one sample, its decoding included.
    """
    if choice.strategy == "feature-extraction":
        return 0.0
    learns = 1.0 if choice.strategy == "full" else choice.stages / stages
    train, validation = samples
    return epochs * (train * (1 + BACKWARD * learns) + validation) * seconds / 3600


def within(choice: Choice, stages: int, epochs: int, samples: tuple[int, int], seconds: float, hours: float) -> Choice:
    """``choice``, or the nearest to it that half of ``hours``, those of the whole build, have room for."""
    room = ROOM * hours
    wanted = training_hours(choice, stages, epochs, samples, seconds)
    if wanted <= room:
        return choice
    told = f"{choice.strategy} would take about {wanted:.2g} h, more than half of `[budget] max_hours = {hours:g}`"
    few = Choice(strategy="partial", stages=few_stages(stages), reason=f"{told}, so that fewer stages learn")
    if choice.strategy == "full" and training_hours(few, stages, epochs, samples, seconds) <= room:
        return few
    return Choice(strategy="feature-extraction", stages=0, reason=f"{told}, and partial too: the features stay frozen")
