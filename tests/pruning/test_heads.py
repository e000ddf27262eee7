"""Attention that reshapes to heads is left whole, what stands beside it is pruned, and who fails is named."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import VisionTransformer

from edgetune.errors import PruningError
from edgetune.measure.layer_latency import LayerTimes
from edgetune.pruning.heads import attention_layers
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.surgery import PruneOptions, latency_of, prune_by_ratio, prune_to_latency

EXAMPLE = torch.zeros(1, 3, 32, 32)
WIDTH, HEADS, FFN = 32, 2, 64


class Fused(nn.Module):
    """Attention as timm writes it."""

    def __init__(self):
        super().__init__()
        self.num_heads = HEADS
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        queries, keys, values = (
            self.qkv(x).reshape(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, WIDTH))


class Uncounted(Fused):
    """The same, but nothing tells that it has heads."""

    def __init__(self):
        super().__init__()
        del self.num_heads


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        if attention is Fused:
            self.n_heads = HEADS  # as blocks often know too
        self.before, self.attention, self.between = nn.LayerNorm(WIDTH), attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, FFN), nn.GELU(), nn.Linear(FFN, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.before(x))
        return x + self.mlp(self.between(x))


class Small(nn.Module):
    def __init__(self, attention=Fused):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, 8, stride=8)
        self.position = nn.Parameter(torch.randn(1, 16, WIDTH))
        self.blocks = nn.Sequential(Block(attention), Block(attention))
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.blocks(x).mean(1))


def options(scope="local", criterion="magnitude", protected=()):
    return PruneOptions(criterion=criterion, scope=scope, channel_multiple=8, protected=("head", *protected))


def assert_attention_is_whole(network):
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert network.patches.out_channels == WIDTH
    for block in network.blocks:
        assert block.attention.qkv.weight.shape == (3 * WIDTH, WIDTH)
        assert block.attention.proj.weight.shape == (WIDTH, WIDTH)
        assert block.mlp[2].out_features == WIDTH
    assert sum(block.mlp[0].out_features for block in network.blocks) < 2 * FFN


@pytest.mark.parametrize("criterion", ["magnitude", "fisher"])
@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
def test_a_ratio_leaves_fused_attention_whole(scope, criterion):
    network = Small()
    batches = [(torch.randn(4, 3, 32, 32), torch.arange(4))]
    assert prune_by_ratio(network, EXAMPLE, 0.3, options(scope, criterion), batches)
    assert_attention_is_whole(network)


def test_a_latency_leaves_fused_attention_whole():
    network = Small()
    times = {
        name: LayerTimes(
            inputs=(0, shape.inputs),
            outputs=(0, shape.outputs),
            ms=((0.0, 0.0), (0.0, shape.inputs * shape.outputs / 1e6)),
        )
        for name, shape in layer_shapes(network, EXAMPLE).items()
    }
    limit = latency_of(network, EXAMPLE, times) / 1.2
    assert prune_to_latency(network, EXAMPLE, limit, times, options(), [])
    assert latency_of(network, EXAMPLE, times) <= limit
    assert_attention_is_whole(network)


def test_which_layers_are_attention():
    network = Small()
    names = {module: name for name, module in network.named_modules()}
    assert {names[layer] for layer in attention_layers(network)} == {
        f"blocks.{number}.attention.{layer}" for number in (0, 1) for layer in ("qkv", "proj")
    }
    network = VisionTransformer(32, 8, 1, 2, 32, 64)
    names = {module: name for name, module in network.named_modules()}
    layer = "encoder.layers.encoder_layer_0.self_attention"
    assert {names[module] for module in attention_layers(network)} == {layer, f"{layer}.out_proj"}


def test_attention_that_nothing_tells_of_is_named_and_naming_it_helps():
    with pytest.raises(PruningError, match="torch-pruning cannot prune this network: RuntimeError: shape") as caught:
        prune_by_ratio(Small(Uncounted), EXAMPLE, 0.3, options(), [])
    assert "or name blocks.0.attention in `[prune] protect`" in caught.value.hint
    network = Small(Uncounted)
    both = ("blocks.0.attention", "blocks.1.attention")
    assert prune_by_ratio(network, EXAMPLE, 0.3, options(protected=both), [])
    assert_attention_is_whole(network)
