"""Handwritten digits as files."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgetune.data.scan import fingerprint, scan
from edgetune.demo.digits import SHARES, stratified_split, write_digits
from edgetune.errors import DataError


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    return folder, write_digits(folder)


def test_all_digits_in_three_splits(digits):
    folder, counts = digits
    assert sum(counts.values()) == 1797
    assert counts["val"] / 1797 == pytest.approx(0.15, abs=0.01) == counts["test"] / 1797
    for split, count in counts.items():
        assert sorted(p.name for p in (folder / split).iterdir()) == list("0123456789")
        assert len(list((folder / split).glob("*/*.png"))) == count


def test_pictures_are_what_scikit_learn_has(digits):
    from sklearn.datasets import load_digits

    folder, _ = digits
    bunch, errors = load_digits(), []
    for path in sorted(folder.glob("test/*/*.png")):
        with Image.open(path) as picture:
            assert picture.mode == "RGB" and picture.size == (32, 32)
            back = np.asarray(picture.resize((8, 8), Image.Resampling.BOX).convert("L")) / 255 * 16
        assert int(path.parent.name) == bunch.target[int(path.stem)]
        errors.append(np.abs(back - bunch.images[int(path.stem)]).mean())
    assert max(errors) < 1.5  # of 16 levels of grey


def test_writing_again_changes_nothing(digits):
    folder, _ = digits
    before = fingerprint(scan(folder))
    changed = next(iter(sorted(folder.glob("train/3/*.png"))))
    kept = changed.read_bytes()
    write_digits(folder)
    assert fingerprint(scan(folder)) == before
    changed.write_bytes(b"damaged")
    write_digits(folder)
    assert changed.read_bytes() == kept


def test_missing_scikit_learn_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError) as caught:
        write_digits(tmp_path)
    assert "scikit-learn" in caught.value.message and caught.value.hint == "pip install 'edgetune[demo]'"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the digits"):
        write_digits(tmp_path / "file")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 3))
def test_every_sample_is_in_one_split_and_shares_hold_for_each_class(labels, seed):
    array = np.asarray(labels, dtype=np.int64)
    splits = stratified_split(array, SHARES, seed)
    assert sorted(number for members in splits.values() for number in members) == list(range(len(labels)))
    assert splits == stratified_split(array, SHARES, seed)
    for label in set(labels):
        total = labels.count(label)
        for name in ("val", "test"):
            assert sum(labels[n] == label for n in splits[name]) == round(SHARES[name] * total)
