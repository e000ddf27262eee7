"""Networks that torch-pruning cannot follow are pruned inside of their blocks, run, and load again to the bit."""

import pytest
import torch
from torch import nn
from torchvision.models import shufflenetv2
from torchvision.models.swin_transformer import SwinTransformer

from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.models.tracing import handed_on, traceable
from edgetune.models.zoo import make_network
from edgetune.pruning.surgery import PruneOptions, prune_by_ratio

SMALL_SWIN = """
from torchvision.models.swin_transformer import SwinTransformer
def make(num_classes):
    return SwinTransformer([4, 4], 32, [2, 2], [2, 2], [4, 4], num_classes=num_classes)
"""


def small_swin(classes=3):
    return SwinTransformer([4, 4], 32, [2, 2], [2, 2], [4, 4], num_classes=classes)


@pytest.mark.parametrize(("name", "head"), [("torchvision/shufflenet_v2_x0_5", "fc"), ("small_swin:make", "head")])
def test_blocks_lose_channels_inside_alone(tmp_path, name, head):
    torch.manual_seed(0)
    (tmp_path / "small_swin.py").write_text(SMALL_SWIN)
    spec = NetworkSpec(name=name, num_classes=3, image_size=32, args={})
    network = spec.make(tmp_path).eval()
    layers = {key: module for key, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    before = {key: layer.weight.shape[0] for key, layer in layers.items()}
    options = PruneOptions(criterion="magnitude", scope="global", channel_multiple=8, protected=(head,))
    history = prune_by_ratio(network, spec.example(), 0.5, options, [])
    narrower = {key for key, layer in layers.items() if layer.weight.shape[0] < before[key]}
    assert narrower and all(".mlp.0" in key or ".branch2.0" in key or ".branch2.3" in key for key in narrower)
    images = torch.randn(2, 3, 32, 32)
    assert network(images).shape == (2, 3)
    save_checkpoint(tmp_path, spec, network, history)
    assert torch.equal(load_checkpoint(tmp_path, tmp_path)[1](images), network(images))


def test_channels_are_shuffled_again_after_tracing_and_other_networks_are_free():
    real = shufflenetv2.channel_shuffle
    with pytest.raises(RuntimeError), traceable():
        assert shufflenetv2.channel_shuffle is not real
        raise RuntimeError
    assert shufflenetv2.channel_shuffle is real
    assert handed_on(make_network("torchvision/resnet18", 3, {})) == []
    swin = small_swin()
    assert swin.head in handed_on(swin) and swin.features[1][0].mlp[0] not in handed_on(swin)
