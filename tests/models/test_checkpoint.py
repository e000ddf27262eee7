"""Checkpoints, pruned ones too, load in a fresh process to the bit, and hold no pickle."""

import subprocess
import sys

import pytest
import torch

from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.pruning.surgery import PruneOptions, prune_by_ratio

SPEC = NetworkSpec(name="torchvision/resnet18", num_classes=4, image_size=32, args={})

FRESH = """
import sys, torch
from pathlib import Path
from edgetune.models.checkpoint import load_checkpoint
spec, network, history = load_checkpoint(Path(sys.argv[1]))
torch.manual_seed(1)
torch.save(network(torch.randn(2, 3, 32, 32)).detach(), sys.argv[2])
"""


@pytest.mark.parametrize("ratios", [[], [0.3], [0.2, 0.2]])
def test_a_fresh_process_gives_the_same_outputs(tmp_path, ratios):
    torch.manual_seed(0)
    network, history = SPEC.make().eval(), []
    for ratio in ratios:
        options = PruneOptions(criterion="magnitude", scope="global", channel_multiple=8, protected=("fc",))
        history += prune_by_ratio(network, SPEC.example(), ratio, options, [])
    save_checkpoint(tmp_path, SPEC, network, history)
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path), str(tmp_path / "out.pt")], check=True)
    torch.manual_seed(1)
    expected = network(torch.randn(2, 3, 32, 32)).detach()
    assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True), expected)
    assert sorted(path.name for path in tmp_path.glob("model.*")) == ["model.json", "model.safetensors"]


TIED = """
from torch import nn
class Tied(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, num_classes)
        self.b.weight, self.again = self.a.weight, self.head
    def forward(self, x):
        return self.again(self.b(self.a(x.mean((2, 3)))))
"""


def test_weights_that_share_memory_are_kept_and_share_it_again(tmp_path):
    (tmp_path / "tied_net.py").write_text(TIED)
    spec = NetworkSpec(name="tied_net:Tied", num_classes=4, image_size=8, args={})
    network = spec.make(tmp_path).eval()
    torch.nn.init.normal_(network.a.weight)
    save_checkpoint(tmp_path, spec, network, [])
    _, again, _ = load_checkpoint(tmp_path, tmp_path)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))
    assert again.b.weight is again.a.weight and again.again is again.head


def test_counts_are_those_of_the_network(tmp_path):
    import json

    network = SPEC.make()
    save_checkpoint(tmp_path, SPEC, network, [])
    counts = json.loads((tmp_path / "model.json").read_text())["counts"]
    assert counts["parameters"] == sum(p.numel() for p in network.parameters()) and counts["macs"] > 0
    assert load_checkpoint(tmp_path)[0] == SPEC
