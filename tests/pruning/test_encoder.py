"""Cutting encoders: shapes fit, what is cut at random changes nothing else, history gives the same network again."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_text import write_encoder
from torch import nn

from edgetune.errors import PruningError
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.models.encoder_layers import drop_layers, encoder_layers, replay
from edgetune.models.text_classifier import make_text_classifier, read_config
from edgetune.pruning.encoder import EncoderCosts, cut_width, least_missed, prune_encoder

KINDS = ["bert", "distilbert", "roberta"]
IDS = torch.tensor([[2, 6, 20, 3, 0, 0], [2, 7, 8, 9, 21, 3]])
COSTS = EncoderCosts(whole=10.0, layer=4.0, neurons=2.0, heads=1.0)


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    return {kind: read_config(str(write_encoder(tmp_path_factory.mktemp(kind), kind))) for kind in KINDS}


def make(configs, kind="bert", layers=2, seed=0):
    torch.manual_seed(seed)
    config = {**configs[kind], "num_hidden_layers": layers, "n_layers": layers}
    return make_text_classifier(3, config).eval()


def samples(count=24, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [
        (torch.randint(4, 30, (8, 7), generator=rng), torch.randint(0, 3, (8,), generator=rng))
        for _ in range(count // 8)
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(heads=st.sets(st.integers(0, 3), max_size=3), neurons=st.sets(st.integers(0, 63), max_size=60))
def test_cut_units_are_as_if_their_readers_did_not_see_them(configs, kind, heads, neurons):
    network = make(configs, kind)
    masked = copy.deepcopy(network)
    with torch.no_grad():
        for layer in encoder_layers(masked):
            layer.linear(layer.names.down).weight[:, sorted(neurons)] = 0
            layer.linear(layer.names.output).weight[:, [row for row in range(32) if row // 8 in heads]] = 0
        for layer in encoder_layers(network):
            layer.cut_heads(heads)
            layer.cut_neurons(neurons)
        torch.testing.assert_close(network(IDS), masked(IDS), atol=1e-5, rtol=1e-4)
    assert all(
        layer.heads == 4 - len(heads) and layer.neurons == 64 - len(neurons) for layer in encoder_layers(network)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_a_cut_encoder_comes_back(configs, kind, tmp_path):
    network = make(configs, kind, layers=4)
    history = [drop_layers(network, [1, 2])]
    history.append(encoder_layers(network)[1].cut_heads([0, 3]))
    history.append(encoder_layers(network)[0].cut_neurons(range(10, 30)))
    config = {**configs[kind], "num_hidden_layers": 4, "n_layers": 4}
    spec = NetworkSpec(name="transformers/x", num_classes=3, args={"config": config}, max_length=32)
    save_checkpoint(tmp_path, spec, network, history)
    _, again, found = load_checkpoint(tmp_path)
    assert found == history
    with torch.no_grad():
        assert torch.equal(again(IDS), network(IDS))
    fresh = make(configs, kind, layers=4)
    replay(fresh, history)
    assert {k: v.shape for k, v in fresh.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}


def test_the_layer_that_does_nothing_goes_first(configs):
    network = make(configs, layers=4)
    with torch.no_grad():  # a residual stream that goes through untouched, but for a norm of what is normed already
        for number, layer in enumerate(encoder_layers(network)):
            for name in (layer.names.output, layer.names.down):
                layer.linear(name).weight *= 0.0 if number == 2 else 40.0
        network.encoder.classifier.weight *= 50  # sure of itself, so that any other layer is missed
        batches = [(ids, network(ids).argmax(1)) for ids, _ in samples()]
    assert least_missed(network, 1, batches) == [2]


def test_useless_neurons_and_heads_go_first(configs):
    network = make(configs)
    layers = encoder_layers(network)
    with torch.no_grad():
        layers[0].linear(layers[0].names.down).weight[:, 16:40] = 0
        layers[1].linear(layers[1].names.output).weight[:, 8:16] = 0
    history = cut_width(network, COSTS, 2.0 * 24 / 64 + 0.25, 8, samples())
    gone = {name.rpartition("layer.")[2]: sorted(indices) for name, _, indices in history}
    assert gone == {"0.intermediate.dense": list(range(16, 40)), "1.attention.self": [1]}


@given(speedup=st.floats(1.05, 2.5))
def test_the_costs_say_it_is_as_fast_as_asked(configs, speedup):
    network = make(configs, layers=2)
    history = prune_encoder(network, COSTS, speedup, 8, samples(8))
    left = COSTS.whole
    for name, _, indices in history:
        if name.endswith("layer"):
            left -= COSTS.layer * len(indices)
        else:
            left -= len(indices) * (COSTS.heads / 4 if "attention" in name else COSTS.neurons / 64)
    slack = COSTS.heads / 4 + 1e-9
    assert COSTS.whole / speedup - slack <= left <= COSTS.whole / speedup + 1e-9
    assert network(IDS).shape == (2, 3)


def test_more_than_there_is(configs):
    with pytest.raises(PruningError, match=r"cannot be pruned to run more than 2\.6"):
        prune_encoder(make(configs), COSTS, 50.0, 8, samples(8))


def test_an_encoder_of_unknown_make():
    with pytest.raises(PruningError, match="layers of this encoder are not known"):
        encoder_layers(nn.Sequential(nn.Linear(3, 3)))
