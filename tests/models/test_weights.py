"""Weights are read without running code, and fit or say why not."""

import os
import pathlib
import pickle

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from edgetune.errors import WeightsError
from edgetune.models.head import head_keys, head_modules
from edgetune.models.weights import fit_weights, read_weights


def make(classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


def test_the_head_is_what_changes_with_the_number_of_classes():
    assert head_keys(make, 5) == {"3.weight", "3.bias"}
    assert head_modules(make, 5) == ("3",)


def test_a_pretrained_backbone_gets_a_fresh_head():
    pretrained, ours = make(1000), make(5)
    before = ours[3].weight.clone()
    fresh = fit_weights(ours, pretrained.state_dict(), head_keys(make, 5), "x")
    assert fresh == ["3.bias", "3.weight"]
    assert torch.equal(ours[0].weight, pretrained[0].weight) and torch.equal(ours[3].weight, before)


def test_a_head_that_fits_is_loaded():
    pretrained, ours = make(5), make(5)
    assert fit_weights(ours, pretrained.state_dict(), head_keys(make, 5), "x") == []
    assert torch.equal(ours[3].weight, pretrained[3].weight)


def test_batch_counters_may_be_missing():
    state = {key: value for key, value in make(5).state_dict().items() if "num_batches" not in key}
    assert len(state) < len(make(5).state_dict())
    ours = make(5)
    assert fit_weights(ours, state, head_keys(make, 5), "x") == []
    assert torch.equal(ours[0].weight, state["0.weight"])


def test_what_does_not_fit_is_named():
    state = make(5).state_dict()
    state["0.weight"] = torch.zeros(4, 1, 3, 3)
    del state["1.bias"]
    state["other.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        fit_weights(make(5), state, head_keys(make, 5), "w.safetensors")
    text = caught.value.message
    assert "3 keys" in text and "expected [4, 3, 3, 3], the file has [4, 1, 3, 3]" in text
    assert "1.bias: missing" in text and "other.weight: not in the network" in text


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_checkpoints_in_their_usual_wrappers(tmp_path, wrapper, prefix):
    state = {prefix + key: value for key, value in make(5).state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == set(make(5).state_dict())


def test_safetensors(tmp_path):
    save_file(make(5).state_dict(), tmp_path / "w.safetensors")
    assert set(read_weights(tmp_path / "w.safetensors")) == set(make(5).state_dict())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "w.{} is empty"),
        (b"PK\x03\x04 not really", "damaged"),
        (b"\x80\x04garbage", "damaged"),
        (b"\x80\x02garbage", "damaged"),
        (b"\n<!DOCTYPE html><title>404</title>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of git-lfs"),
    ],
)
def test_damaged_files(tmp_path, suffix, content, says):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=says.format(suffix[1:])) as caught:
        read_weights(path)
    assert not caught.value.message.rstrip().endswith(":") and "run code" not in caught.value.message


@pytest.mark.parametrize("content", [b"hi", b"\x00\x01\x02\x03" * 50])
def test_files_that_are_something_else(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="no PyTorch checkpoint: it begins neither"):
        read_weights(tmp_path / "w.pt")


@example(content=b"garbage", beginning=b"\x80\x02")
@example(b"r", b"\x80\x02")  # struct.error
@given(st.binary(min_size=0, max_size=80), st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]))
def test_any_bytes_are_refused_with_a_sentence(tmp_path_factory, content, beginning):
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(beginning + content)
    with pytest.raises(WeightsError):
        read_weights(path)


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("content", [pathlib.PurePosixPath("x"), Runs()])
def test_pickles_that_would_run_code_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"weight": content}, protocol=2))
    with pytest.raises(WeightsError, match="loading it would run code"):
        read_weights(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_file_without_tensors(tmp_path):
    torch.save({"lr": 0.1}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="no state dict"):
        read_weights(tmp_path / "w.pt")
