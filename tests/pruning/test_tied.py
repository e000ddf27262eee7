"""A layer that is called twice is pruned as one layer; parameters that are shared are still shared afterwards."""

import pytest
import torch
from torch import nn

from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.sparsity import channel_groups
from edgetune.pruning.surgery import PruneOptions, latency_of, prune_by_ratio, prune_to_latency

EXAMPLE = torch.zeros(1, 3, 16, 16)
OPTIONS = PruneOptions(criterion="magnitude", scope="local", channel_multiple=8, protected=("head",))
NETWORKS = """
import torch
from torch import nn

class Shared(nn.Module):
    def __init__(self, num_classes, twice):
        super().__init__()
        self.stem, self.first = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, padding=1)
        self.second = self.first if twice else nn.Conv2d(32, 32, 3, padding=1)
        self.second.weight = self.first.weight
        self.middle, self.head = nn.Conv2d(32, 48, 1), nn.Linear(48, num_classes)

    def forward(self, x):
        x = self.second(torch.relu(self.first(self.stem(x)))).relu()
        return self.head(self.middle(x).relu().mean((2, 3)))
"""


def pruned(network, how):
    if how == "ratio":
        return prune_by_ratio(network, EXAMPLE, 0.3, OPTIONS, [])
    times = {
        name: LayerTimes(
            inputs=(0, shape.inputs),
            outputs=(0, shape.outputs),
            ms=((0.0, 0.0), (0.0, shape.inputs * shape.outputs / 1000)),
        )
        for name, shape in layer_shapes(network, EXAMPLE).items()
    }
    limit = latency_of(network, EXAMPLE, times) / 1.2
    history = prune_to_latency(network, EXAMPLE, limit, times, OPTIONS, [])
    assert latency_of(network, EXAMPLE, times) <= limit
    return history


@pytest.mark.parametrize("how", ["ratio", "latency"])
@pytest.mark.parametrize("twice", [True, False])
def test_what_is_shared_stays_shared(tmp_path, twice, how):
    (tmp_path / "shared_networks.py").write_text(NETWORKS)
    spec = NetworkSpec(name="shared_networks:Shared", num_classes=5, image_size=16, args={"twice": twice})
    torch.manual_seed(0)
    network = spec.make(tmp_path).eval()
    history = pruned(network, how)
    assert history and network.second.weight is network.first.weight
    width = network.first.out_channels
    assert network.stem.out_channels == network.first.in_channels == network.middle.in_channels == width
    assert width < 32 if twice else (width == 32 and network.middle.out_channels < 48)
    save_checkpoint(tmp_path, spec, network, history)
    images, again = torch.randn(2, 3, 16, 16), load_checkpoint(tmp_path, tmp_path)[1]
    assert torch.equal(again(images), network(images)) and again.second.weight is again.first.weight


def test_no_penalty_pulls_at_what_is_tied():
    network = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 8, 8, 1) for i in range(4)), nn.Flatten(), nn.Linear(8, 2))
    assert len(channel_groups(network, torch.zeros(1, 3, 1, 1), [network[5]])) == 4
    network[2].weight = network[1].weight
    assert len(channel_groups(network, torch.zeros(1, 3, 1, 1), [network[5]])) == 1
