"""The demo's network: small enough to ship, large enough that INT8 and pruning pay on a CPU."""

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (32, 48, 96)  # multiples of 16: what a CPU's vectors and 8-bit dot products fill


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        inner = functional.relu(self.norm1(self.conv1(features)))
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))


class DemoNet(nn.Module):
    """Four stages of convolutions, global average pooling and one linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        first, middle, last = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(first, middle, 2), ResidualBlock(middle, middle, 1), ResidualBlock(middle, last, 2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, num_classes] of images [N, 3, 32, 32]."""
        features = self.pool(self.blocks(self.stem(images))).flatten(1)
        logits: Tensor = self.head(features)
        return logits


def demo_net(num_classes: int = 20) -> nn.Module:
    """A fresh network: about 210 thousand parameters, 29 million multiply-adds at 3x32x32."""
    return DemoNet(num_classes)
