"""Text on the device: token ids as the desk has them, padding, and what is refused."""

import json
import sys

import numpy as np
import pytest
from edgetune_runtime import BundleError, InputError, text
from edgetune_runtime.preprocessing import make_preprocessing
from edgetune_runtime.text import TextPreprocessing
from hypothesis import given
from hypothesis import strategies as st
from small_text import write_encoder

DESCRIPTION = {"kind": "text", "tokenizer": "tokenizer.json", "max_length": 8, "pad_id": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def preprocessing(folder):
    return TextPreprocessing(DESCRIPTION, folder)


def test_ids_are_padded_to_the_longest(preprocessing):
    ids = preprocessing(["soup", "the soup again"])
    assert ids.dtype == np.int64 and ids.shape == (2, 5)
    assert ids[0].tolist() == [2, preprocessing("soup")[0, 1], 3, 0, 0]


@given(text=st.text())
def test_any_text_is_taken_and_cut(preprocessing, text):
    ids = preprocessing(text)
    assert preprocessing.check(ids) is ids and ids[0, 0] == 2 and 3 in ids[0]


def test_half_a_character_is_no_reason_to_fail(preprocessing):
    assert preprocessing("soup \ud800").shape[0] == 1


@pytest.mark.parametrize("wrong", [3, None, [], [1], ["a", None], b"soup"])
def test_what_is_no_text(preprocessing, wrong):
    with pytest.raises(InputError, match="expected a text"):
        preprocessing(wrong)


@pytest.mark.parametrize(
    "array", [np.zeros((1, 4)), np.zeros(4, np.int64), np.zeros((0, 4), np.int64), np.zeros((1, 9), np.int64)]
)
def test_arrays_that_no_text_gives(preprocessing, array):
    with pytest.raises(InputError, match="int64"):
        preprocessing.check(array)


def test_the_example_is_as_long_as_texts_get(preprocessing):
    example = preprocessing.example(2)
    assert preprocessing.check(example).shape == (2, 8) and 0 not in example


@pytest.mark.parametrize(
    "change",
    [{"max_length": 1}, {"max_length": "many"}, {"pad_id": -1}, {"pad_id": None}, {"tokenizer": "missing.json"}],
)
def test_descriptions_that_are_wrong(folder, change):
    with pytest.raises(BundleError):
        make_preprocessing({**DESCRIPTION, **change}, folder)


def test_a_damaged_tokenizer(tmp_path, folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "model": {"type": "Nothing"}}))
    with pytest.raises(BundleError, match="tokenizer cannot be read"):
        make_preprocessing(DESCRIPTION, tmp_path)


def test_without_the_library_token_ids_are_taken_and_texts_are_told_what_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    preprocessing = TextPreprocessing(DESCRIPTION, folder)
    ids = preprocessing.example(2)
    assert preprocessing.check(ids) is ids and preprocessing.levels(ids) == [8.0, 8.0]
    with pytest.raises(InputError, match="need tokenizers: pip install"):
        preprocessing("rain")
