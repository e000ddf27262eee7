"""The demo's network keeps to the size that was promised, and its checkpoint fits it."""

import hashlib
from pathlib import Path

import pytest
import torch
import torch_pruning as tp
from safetensors.torch import load_file

import edgetune.demo
from edgetune.demo.network import demo_net
from edgetune.models.head import head_keys
from edgetune.models.weights import fit_weights

FOLDER = Path(edgetune.demo.__file__).parent
WEIGHTS = FOLDER / "weights.safetensors"


@pytest.mark.parametrize("classes", [10, 20])
def test_logits_of_a_batch(classes):
    network = demo_net(classes).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, classes)


def test_size_is_what_pays_on_a_cpu_and_ships_in_the_package():
    macs, parameters = tp.utils.count_ops_and_params(demo_net(), torch.zeros(1, 3, 32, 32))
    assert parameters < 240_000
    assert 15e6 < macs < 40e6
    assert WEIGHTS.stat().st_size < 1_000_000


def test_the_checkpoint_fits_all_but_the_head():
    network = demo_net(10)
    head = head_keys(demo_net, 10)
    fresh = fit_weights(network, load_file(WEIGHTS), head, WEIGHTS.name)
    assert sorted(fresh) == ["head.bias", "head.weight"]
    assert torch.equal(network.state_dict()["stem.0.weight"], load_file(WEIGHTS)["stem.0.weight"])


def test_the_checkpoint_was_trained():
    network = demo_net()
    network.load_state_dict(load_file(WEIGHTS))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert int(network.state_dict()["stem.1.num_batches_tracked"]) > 1000


def test_provenance_names_this_very_file():
    text = (FOLDER / "PROVENANCE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in text
    assert "CC0-1.0" in text and "Apache-2.0" in text
