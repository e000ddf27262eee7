"""Units are what truly goes at once, also where channels are concatenated and then added to what is whole."""

import pytest
import torch
from torch import nn

from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.tracing import dependency_graph
from edgetune.pruning.groups import prunable_groups
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.surgery import PruneOptions, latency_of, prune_to_latency

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Halves(nn.Module):
    """Half of the channels, and a second half that is ``ghost``: made from the first, or from the input as well."""

    def __init__(self, ghost):
        super().__init__()
        torch.manual_seed(0)
        self.ghost = ghost
        self.stem, self.first = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 16, 1)
        self.second = nn.Conv2d(16, 16, 3, padding=1, groups=16) if ghost else nn.Conv2d(32, 16, 1)
        self.last, self.head = nn.Conv2d(32, 24, 1), nn.Linear(24, 5)

    def forward(self, x):
        x = self.stem(x)
        half = self.first(x)
        x = x + torch.cat([half, self.second(half if self.ghost else x)], 1)
        return self.head(self.last(x).mean((2, 3)))


def groups_of(network):
    scores = lambda group: torch.arange(float(len(group[0].idxs)))  # noqa: E731 - half of the sum is worth less
    return prunable_groups(network, dependency_graph(network, EXAMPLE), [network.head], scores, 8, {})


def test_a_channel_and_its_ghost_are_one_unit():
    sums = next(made for made in groups_of(Halves(ghost=True)) if len(made.group.scores) == 16)
    sides = {(name, side): channels for name, side, channels in sums.group.sides}
    assert sides["stem", "out"] == 2 * sides["first", "out"] == 2 and sides["last", "in"] == sides["first", "in"] == 2
    if len(sums.units.channels((3,))) == 2:  # the root is what has both
        assert sums.units.channels((3,)) == [3, 19] and sums.group.scores[3] == 11.0


def test_a_layer_that_has_some_of_the_units():
    sums = next(made for made in groups_of(Halves(ghost=False)) if len(made.group.scores) == 32)
    sides = {(name, side): channels for name, side, channels in sums.group.sides}
    assert sides["stem", "out"] == sides["last", "in"] == 1
    assert sides["first", "out"] == (1,) * 16 + (0,) * 16 and sides["second", "out"] == (0,) * 16 + (1,) * 16


@pytest.mark.parametrize("ghost", [True, False])
def test_no_layer_loses_all_its_channels(ghost):
    network = Halves(ghost)
    with torch.no_grad():
        network.first.weight.zero_()  # the weakest are all in one half
        network.stem.weight[:16] /= 100
        network.last.weight[:, :16] /= 100
    shapes = layer_shapes(network, EXAMPLE)
    times = {
        name: LayerTimes(
            inputs=(0, shape.inputs),
            outputs=() if shape.depthwise else (0, shape.outputs),
            ms=((0.0,), (0.1,)) if shape.depthwise else ((0.0, 0.0), (0.0, shape.inputs * shape.outputs / 1000)),
        )
        for name, shape in shapes.items()
    }
    limit = latency_of(network, EXAMPLE, times) / 1.8
    options = PruneOptions(criterion="magnitude", scope="global", channel_multiple=4, protected=("head",))
    prune_to_latency(network, EXAMPLE, limit, times, options, [])
    assert latency_of(network, EXAMPLE, times) <= limit
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 5)
    assert min(network.first.out_channels, network.second.out_channels) >= 2
