"""A layer of a user's own loses channels by the rule in docs/extending.md, and is loaded again in another process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgetune.errors import PruningError
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, save_checkpoint
from edgetune.models.tracing import CUSTOM_LAYERS
from edgetune.pruning.layers import register_layer
from edgetune.pruning.surgery import PruneOptions, latency_of, prune_by_ratio, prune_to_latency

ROOT = Path(__file__).parents[2]
EXAMPLE = torch.zeros(1, 3, 8, 8)
NETWORK = """

class Gained(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem, self.gain, self.last = nn.Conv2d(3, 32, 1), Gain(32), nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.last(self.gain(self.stem(x)).relu()).mean((2, 3)))
"""
RULE = "register_layer(Gain, GainPruner())\n"
LOAD = """
import sys, torch
from pathlib import Path
from edgetune.models.checkpoint import load_checkpoint
folder = Path(sys.argv[1])
torch.save(load_checkpoint(folder, folder)[1](torch.ones(1, 3, 8, 8)).detach(), folder / "outputs.pt")
"""


def made(folder, name, *, rule=True):
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "register_layer" in block)
    assert RULE in code
    (folder / f"{name}.py").write_text((code if rule else code.replace(RULE, "")) + NETWORK)
    spec = NetworkSpec(name=f"{name}:Gained", num_classes=5, image_size=8, args={})
    torch.manual_seed(0)
    network = spec.make(folder).eval()
    with torch.no_grad():
        network.gain.weight.normal_()
    return spec, network


def options(criterion="magnitude"):
    return PruneOptions(criterion=criterion, scope="local", channel_multiple=8, protected=("head",))


@pytest.mark.parametrize("criterion", ["magnitude", "fisher"])
def test_a_layer_of_ones_own_loses_channels_and_loads_in_another_process(tmp_path, criterion):
    spec, network = made(tmp_path, f"gained_{criterion}")
    whole = network.gain.weight.detach().clone()
    history = prune_by_ratio(network, EXAMPLE, 0.5, options(criterion), [(torch.randn(4, 3, 8, 8), torch.arange(4))])
    assert network.gain.channels == network.stem.out_channels == network.last.in_channels == 16
    gone = next(channels for name, _, channels in history if name in ("stem", "gain"))
    assert torch.equal(network.gain.weight, whole[:, [i for i in range(32) if i not in gone]])
    save_checkpoint(tmp_path, spec, network, history)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], check=True, env=environment, cwd=tmp_path)
    assert torch.equal(torch.load(tmp_path / "outputs.pt"), network(torch.ones(1, 3, 8, 8)))


def test_it_is_pruned_to_a_latency(tmp_path):
    network = made(tmp_path, "gained_latency")[1]
    times = {"stem": LayerTimes(inputs=(0, 3), outputs=(0, 32), ms=((0.0, 0.0), (0.0, 1.0)))}
    limit = latency_of(network, EXAMPLE, times) / 1.5
    prune_to_latency(network, EXAMPLE, limit, times, options(), [])
    assert latency_of(network, EXAMPLE, times) <= limit and network.gain.channels == network.stem.out_channels < 32
    assert network(EXAMPLE).shape == (1, 5)


def test_without_a_rule_it_is_named(tmp_path):
    network = made(tmp_path, "gained_without", rule=False)[1]
    with pytest.raises(PruningError, match="torch-pruning cannot prune this network") as caught:
        prune_by_ratio(network, EXAMPLE, 0.5, options(), [])
    assert "name gain in `[prune] protect`" in caught.value.hint


def test_what_is_no_layer_or_no_rule():
    with pytest.raises(PruningError, match="is no class of layers"):
        register_layer(nn.ReLU(), None)
    with pytest.raises(PruningError, match="is no rule to prune ReLU by"):
        register_layer(nn.ReLU, None)
    assert nn.ReLU not in CUSTOM_LAYERS
