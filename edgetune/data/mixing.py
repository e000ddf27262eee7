"""Mix the images of a training batch, and their labels with them; torchvision's v2."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

Mix = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(images [N, C, H, W], labels int64 [N], seed) -> (images, class shares float32 [N, K])"""


def make_mix(mixup: float, cutmix: float, num_classes: int) -> Mix | None:
    """Mixup (Zhang et al. 2018), CutMix (Yun et al. 2019), or one of the two at random for each batch.

    Args:
        mixup, cutmix: alpha of the Beta(alpha, alpha) that draws the shares; 0: not used. None when both are 0.
    """
    mixes = [
        kind(alpha=alpha, num_classes=num_classes)
        for kind, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
        if alpha > 0
    ]
    if not mixes:
        return None
    choice = v2.RandomChoice(mixes)

    def mix(images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng(devices=[]):  # dropout's generator must not notice
            torch.default_generator.manual_seed(seed)
            mixed, shares = choice(images, labels)
        return mixed.contiguous(memory_format=torch.channels_last), shares.float()

    return mix
