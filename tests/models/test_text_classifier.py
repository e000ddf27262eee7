"""Encoders from a folder: weights arrive, the head is fresh, and what is no text encoder is refused in words."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_text import write_encoder

from edgetune.errors import ModelError, WeightsError
from edgetune.finetune.stages import split_stages
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
from edgetune.models.head import head_keys
from edgetune.models.text_classifier import (
    head_of,
    make_text_classifier,
    pretrained_text_classifier,
    read_config,
    read_tokenizer,
)

IDS = torch.tensor([[2, 6, 20, 3, 0, 0], [2, 7, 8, 9, 21, 3]])


@pytest.fixture(params=["bert", "distilbert", "roberta"])
def encoder(request, tmp_path):
    return write_encoder(tmp_path / request.param, request.param)


def load(folder, classes=3):
    return pretrained_text_classifier(classes, str(folder), read_config(str(folder)))


def test_weights_arrive_and_the_head_is_fresh(encoder):
    network, fresh = load(encoder)
    assert network(IDS).shape == (2, 3)
    assert fresh and all("classif" in key or "pooler" in key for key in fresh)
    state, saved = network.state_dict(), load_file(encoder / "model.safetensors")
    kept = [key for key in state if key.partition(".")[2].partition(".")[2] in saved and key not in fresh]
    assert len(kept) > 20
    assert all(torch.equal(state[key], saved[key.partition(".")[2].partition(".")[2]]) for key in kept)


def test_padding_changes_nothing(encoder):
    network = load(encoder)[0].eval()
    with torch.no_grad():
        alone, padded = network(IDS[:1, :4]), network(IDS)[:1]
    torch.testing.assert_close(alone, padded, atol=1e-5, rtol=1e-4)


def test_the_head_is_known(encoder):
    network = make_text_classifier(3, read_config(str(encoder)))
    head = head_of(network)
    assert head >= head_keys(lambda classes: make_text_classifier(classes, read_config(str(encoder))), 3)
    assert all("classifier" in key or "pooler" in key for key in head)
    stages = split_stages(network, head)
    assert {stages.of(key) for key in head} == {stages.head}
    assert not any(stages.of(key) == stages.head for key in network.state_dict() if key not in head)


def test_a_checkpoint_needs_no_folder_and_comes_back_bit_for_bit(encoder, tmp_path):
    spec = NetworkSpec(name="transformers/x", num_classes=3, args={"config": read_config(str(encoder))}, max_length=32)
    network = load(encoder)[0].eval()
    (tmp_path / "saved").mkdir()
    save_checkpoint(tmp_path / "saved", spec, network, [])
    for file in encoder.iterdir():
        file.unlink()
    found, again, _ = load_checkpoint(tmp_path / "saved")
    assert found == spec
    with torch.no_grad():
        assert torch.equal(again(IDS), network(IDS))


def test_the_tokenizer_knows_its_words(encoder):
    assert read_tokenizer(str(encoder)).encode("Soup again").tokens == ["[CLS]", "soup", "again", "[SEP]"]


def test_no_network_no_folder(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ModelError, match="nobody/nothing is not on this machine, and the Hugging Face hub does not answer"
    ) as caught:
        read_config("nobody/nothing")
    assert "`[model] weights`" in str(caught.value.hint)


def test_a_folder_without_weights_or_tokenizer(tmp_path):
    folder = write_encoder(tmp_path / "e")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be read as a pretrained network"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        read_tokenizer(str(folder))


def test_weights_of_another_network(tmp_path):
    folder = write_encoder(tmp_path / "e")
    save_file({"conv.weight": torch.ones(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="weights of another network"):
        load(folder)


def test_networks_that_classify_no_texts(tmp_path):
    folder = write_encoder(tmp_path / "e")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    with pytest.raises(ModelError, match="classifies no texts"):
        read_config(str(folder))
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    with pytest.raises(ModelError, match="no padding token"):
        read_config(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a pretrained network"):
        read_config(str(folder))
