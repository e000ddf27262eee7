"""Random views of a training image: {name: how to make it}. Transforms are torchvision's v2."""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import v2

Augment = Callable[[Tensor], Tensor]
"""uint8 [3, h, w] -> uint8 [3, S, S]"""


def none(size: int) -> Augment:
    """The centre, as in evaluation."""
    view: Augment = v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])
    return view


def light(size: int) -> Augment:
    """Small changes of position and scale, for pictures whose sides and extent matter (digits, signs)."""
    view: Augment = v2.RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(0.9, 1.1), antialias=True)
    return view


def standard(size: int) -> Augment:
    """Random resized crop and mirror image (Szegedy et al. 2015), for photos of things."""
    crop = v2.RandomResizedCrop(size, scale=(0.35, 1.0), ratio=(3 / 4, 4 / 3), antialias=True)
    view: Augment = v2.Compose([crop, v2.RandomHorizontalFlip()])
    return view


def strong(size: int) -> Augment:
    """``standard``, then one random change of colour or geometry (TrivialAugmentWide, Müller & Hutter 2021)."""
    view: Augment = v2.Compose([standard(size), v2.TrivialAugmentWide()])
    return view


AUGMENTATIONS: dict[str, Callable[[int], Augment]] = {
    "none": none,
    "light": light,
    "standard": standard,
    "strong": strong,
}
