"""A network small enough to train in a test, named in recipes as ``tiny_network:tiny``."""

import torch
from torch import nn


def tiny(num_classes: int, width: int = 16) -> nn.Module:
    """Three convolutions and a linear head."""

    def block(channels: int, out: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]

    return nn.Sequential(
        *block(3, width, 2), *block(width, 2 * width, 2), *block(2 * width, 2 * width, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, num_classes),
    )  # fmt: skip


def narrow(num_classes: int) -> nn.Module:
    """Eight channels everywhere: nothing to prune in multiples of eight."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )  # fmt: skip


def unlike(num_classes: int, scale: float = 1000.0) -> nn.Module:
    """One channel in the middle far larger than the others: one scale a weight breaks it, equalisation mends it."""
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, num_classes),
    )  # fmt: skip
    with torch.no_grad():
        network[2].weight[0] *= scale
        network[2].bias[0] *= scale
        network[4].weight[:, 0] /= scale
    return network
