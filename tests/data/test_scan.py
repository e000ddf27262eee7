"""Datasets are recognised in the forms people have them; what is wrong is said with names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgetune.data.scan import fingerprint, scan
from edgetune.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)


def test_split_folders_by_their_usual_names(tmp_path):
    touch(tmp_path, "Train/a/1.JPG", "Train/b/1.png", "valid/a/2.jpeg", "TEST/b/3.webp")
    listing = scan(tmp_path)
    assert listing.labels == ("a", "b")
    assert [(s.path, s.label, s.split) for s in listing.samples] == [
        ("TEST/b/3.webp", 1, "test"),
        ("Train/a/1.JPG", 0, "train"),
        ("Train/b/1.png", 1, "train"),
        ("valid/a/2.jpeg", 0, "val"),
    ]


def test_class_folders_with_hidden_and_other_files(tmp_path):
    touch(tmp_path, "a/1.png", "a/deeper/2.png", "b/1.png", ".git/c/1.png", "a/.hidden.png")
    (tmp_path / "a/Thumbs.db").touch()
    (tmp_path / "README.txt").touch()
    listing = scan(tmp_path)
    assert [(s.path, s.split) for s in listing.samples] == [
        ("a/1.png", None),
        ("a/deeper/2.png", None),
        ("b/1.png", None),
    ]


@pytest.mark.parametrize("text", ["path,label\n{}", "\ufeffpath,label\n{}", " Path , LABEL \n{}"])
def test_csv(tmp_path, text):
    touch(tmp_path, "img/1.png", "img/2.png")
    (tmp_path / "list.csv").write_text(text.format("img/1.png,cat\nimg/2.png, dog \n"), encoding="utf-8")
    listing = scan(tmp_path / "list.csv")
    assert listing.root == tmp_path and listing.labels == ("cat", "dog")


def test_csv_with_splits(tmp_path):
    touch(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "l.csv").write_text("path,label,split\n1.png,a,train\n2.png,b,train\n3.png,a,validation\n")
    assert [sample.split for sample in scan(tmp_path / "l.csv").samples] == ["train", "train", "val"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\n1.png,a\n", "has columns file, class"),
        ("path,label\n1.png,a\nnone.png,b\n", "names 1 file (line 3: none.png) that do not exist"),
        ("path,label\n1.png,a\n1.png,b\n", "more than once"),
        ("path,label\n1.png,\n", "l.csv:2: a path or a label is missing"),
        ("path,label,split\n1.png,a,holdout\n", 'l.csv:2: split "holdout"'),
        ("path,label,split\n1.png,a,train\n2.png,b,\n", "some samples a split and others none"),
        ("path,label,split\n1.png,a,test\n2.png,b,test\n", "no training samples"),
        ("", "has columns none"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        scan(tmp_path / "l.csv")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images in class folders"),
        (["1.png", "2.png"], "holds no images in class folders"),
        (["a/1.png", "a/2.png"], "one class only: a"),
        (["train/a/1.png", "train/b/1.png", "val/c/1.png"], "1 class (c) of val do not occur in train"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "the same split twice"),
        (["val/a/1.png", "test/b/1.png"], None),
    ],
)
def test_bad_folders(tmp_path, names, message):
    touch(tmp_path, *names)
    if message is None:  # without train/ these are two classes called val and test
        assert scan(tmp_path).labels == ("test", "val")
        return
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert message in caught.value.message


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="there is no dataset"):
        scan(tmp_path / "none")


def test_the_fingerprint_sees_changes_and_nothing_else(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    first = fingerprint(scan(tmp_path))
    assert fingerprint(scan(tmp_path)) == first
    touch(tmp_path, "b/2.png")
    assert fingerprint(scan(tmp_path)) != first


@given(st.text(max_size=80))
def test_any_csv_is_a_listing_or_a_data_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("path,label\n" + text, encoding="utf-8", newline="")
    with pytest.raises(DataError):
        scan(path)
