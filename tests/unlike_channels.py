"""A network whose channels are so unlike that one scale a weight breaks it."""

import torch
from random_networks import SIZE
from torch import nn

from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
ONE_SCALE = QuantizationScheme(activation="uint8", per_channel=False)


def pictures():
    rng = torch.Generator().manual_seed(7)
    return [torch.randn(16, 3, SIZE, SIZE, generator=rng) for _ in range(2)]


def chain(activation=nn.ReLU, scale=1000.0):
    """Pointwise, depthwise, pointwise, as in MobileNetV2, one channel of the middle far larger than the others."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), activation(), nn.Conv2d(8, 8, 3, padding=1, groups=8), activation(),
        nn.Conv2d(8, 6, 1), nn.Flatten(), nn.Linear(6 * SIZE * SIZE, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network[2].weight[0] *= scale
        network[2].bias[0] *= scale
        network[4].weight[:, 0] /= scale
    return network
