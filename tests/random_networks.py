"""Networks made by hypothesis: convolutions of all kinds, with and without batch norm, residuals and cats."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

SIZE = 16


class Block(nn.Module):
    """One convolution (plain, depthwise or grouped), norm or not, an activation, and what it is joined with."""

    def __init__(self, channels: int, out: int, groups: int, norm: bool, activation: str, join: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, groups=groups, bias=not norm)
        self.norm = nn.BatchNorm2d(out) if norm else nn.Identity()
        self.activation = {"relu": nn.ReLU, "relu6": nn.ReLU6, "none": nn.Identity, "silu": nn.SiLU}[activation]()
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm(self.conv(x)))
        if self.join == "add" and x.shape[1] == y.shape[1]:
            return x + y
        return torch.cat([x, y], 1) if self.join == "cat" else y


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A network float32 [N, 3, 16, 16] -> [N, 4] with norms that have seen data."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers: list[nn.Module] = []
    channels = 3
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["plain", "depthwise", "grouped"]))
        out = channels if kind == "depthwise" else draw(st.integers(1, 5)) * (channels if kind == "grouped" else 3)
        groups = 1 if kind == "plain" else channels
        layers.append(
            Block(
                channels,
                out,
                groups,
                draw(st.booleans()),
                draw(st.sampled_from(["relu", "relu6", "none", "silu"])),
                draw(st.sampled_from(["none", "add", "cat"])),
            )
        )
        channels = channels + out if layers[-1].join == "cat" else out
    pool = draw(st.sampled_from([nn.AdaptiveAvgPool2d(1), nn.MaxPool2d(SIZE)]))
    network = nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(channels, 4))
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(8, 3, SIZE, SIZE))
    return network.eval()
