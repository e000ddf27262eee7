"""What 8 bits cost each layer alone is noted, on as many samples as a build can afford."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgetune.progress import silent
from edgetune.quantization.quantize import quantize
from edgetune.quantization.sensitivity import ELEMENT, work
from edgetune.records import QuantizationScheme
from edgetune.steps import layer_notes
from edgetune.steps.layer_notes import AFFORDABLE, FEWEST, MOST, affordable, note_layers

EXAMPLE = torch.zeros(1, 3, 12, 12)
ONE_SCALE = QuantizationScheme(activation="uint8", per_channel=False)


def pictures(count=32):
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def graph():
    """A fake-quant network with one scale a weight, whose layer "2" has one channel far larger than the others."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network[2].weight[0] *= 300
        network[6].weight[:, 0] /= 300
    return quantize(network, EXAMPLE, ONE_SCALE, lambda: iter([pictures()]), calibration="mse", repair=())


def noted(graph, folder):
    """The notes ``layers.json`` and ``alone.json``."""

    def few(samples):
        images = pictures(samples)
        return [(part, torch.arange(len(part)) % 4) for part in images.split(8)]

    note_layers(graph, EXAMPLE, iter([pictures()]), few, SimpleNamespace(note=folder.joinpath, tick=silent))
    return [json.loads((folder / name).read_text()) for name in ("layers.json", "alone.json")]


def test_the_layer_that_moves_the_answers_is_found_where_noise_alone_would_not(graph, tmp_path):
    layers, apart = noted(graph, tmp_path)
    assert [row["layer"] for row in layers] == ["0", "2", "6"]
    found = {row["layer"]: row["divergence"] for row in apart["layers"]}
    # The noisiest layer is another one, whose noise the answers do not mind: hence two measures.
    assert max(found, key=found.get) == "2" and found["2"] > 10 * found["6"]
    assert min(layers, key=lambda row: row["sqnr_db"])["layer"] == "6"
    assert (apart["samples"], apart["asked"], apart["left_out"]) == (MOST, MOST, 0) and apart["loss"] > 0
    assert all(value >= 0 for value in found.values())
    assert noted(graph, tmp_path)[1] == apart


def test_a_network_too_large_is_looked_at_where_it_is_noisiest_or_not_at_all(graph, tmp_path, monkeypatch):
    one = work(graph, EXAMPLE)
    monkeypatch.setattr(layer_notes, "AFFORDABLE", 1.5 * FEWEST * one)
    layers, apart = noted(graph, tmp_path)
    assert [row["layer"] for row in apart["layers"]] == ["6"]
    assert (apart["samples"], apart["left_out"]) == (FEWEST, 2)
    monkeypatch.setattr(layer_notes, "AFFORDABLE", 0.5 * FEWEST * one)
    layers, apart = noted(graph, tmp_path)
    assert len(layers) == 3 and apart["layers"] == [] and (apart["samples"], apart["left_out"]) == (0, 3)


def test_work_counts_products_and_elements(graph):
    convolutions = 12 * 12 * 8 * (3 * 9 + 8 * 9)
    relus, pooled, flat = 2 * 12 * 12 * 8, 8, 8
    products, elements = convolutions + 8 * 4, 2 * 12 * 12 * 8 + relus + pooled + flat + 4
    assert work(graph, EXAMPLE) == pytest.approx(products + ELEMENT * elements)


@given(st.integers(1, 1000), st.floats(1e3, 1e13))
def test_what_is_looked_at_is_never_more_than_is_affordable(layers, work_of_one):
    share = affordable(layers, work_of_one)
    assert FEWEST <= share.samples <= MOST and 0 <= share.layers <= layers
    assert share.samples * share.layers * work_of_one <= AFFORDABLE * (1 + 1e-9)
    assert share.layers == layers or share.samples == FEWEST
