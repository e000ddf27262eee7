"""Shapes of layers are those they run with."""

import torch
from torch import nn

from edgetune.measure.layer_model import LayerShape
from edgetune.models.zoo import make_network
from edgetune.pruning.shapes import layer_shapes


def test_convolutions_and_linear_layers():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8 * 36, 5)
    )
    shapes = layer_shapes(network, torch.zeros(1, 3, 16, 16))
    assert shapes["0"] == LayerShape(
        inputs=3, outputs=8, height=16, width=16, kernel=(3, 3), stride=(2, 2), padding=(1, 1)
    )
    assert shapes["1"].depthwise and (shapes["1"].height, shapes["1"].width) == (8, 8)
    assert shapes["3"] == LayerShape(inputs=288, outputs=5)


def test_tokens_of_a_transformer_count_as_pixels():
    shapes = layer_shapes(make_network("torchvision/vit_b_16", 4, {"image_size": 32}), torch.zeros(1, 3, 32, 32))
    mlp = next(shape for name, shape in shapes.items() if name.endswith("mlp.0"))
    assert (mlp.inputs, mlp.outputs, mlp.height) == (768, 3072, 5)


def test_hooks_are_gone_afterwards():
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    layer_shapes(network, torch.zeros(1, 3, 4, 4))
    assert not network[0]._forward_hooks
