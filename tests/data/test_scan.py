"""Datasets are recognised in the forms people have them; what is wrong is said with names."""

import os
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


def test_dev_is_a_split_beside_train_and_a_class_beside_classes(tmp_path):
    touch(tmp_path, "s/train/a/1.png", "s/train/b/1.png", "s/dev/a/2.png", "c/dev/1.png", "c/ops/1.png")
    assert {sample.split for sample in scan(tmp_path / "s").samples} == {"train", "val"}
    assert scan(tmp_path / "c").labels == ("dev", "ops")


def test_one_class_only_is_told_by_what_the_data_is(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png")
    (tmp_path / "l.csv").write_text("path,label\na/1.png,a\na/2.png,a\n")
    for path, hint in ((tmp_path, "one level too deep"), (tmp_path / "l.csv", "the column `label` must hold")):
        with pytest.raises(DataError, match="one class only: a") as caught:
            scan(path)
        assert hint in str(caught.value.hint)


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
    touch(tmp_path, "1.png", "2.png", "3.png", "4.png")
    (tmp_path / "l.csv").write_text("path,label,split\n1.png,a,train\n2.png,b,train\n3.png,a,validation\n4.png,a,Dev\n")
    assert [sample.split for sample in scan(tmp_path / "l.csv").samples] == ["train", "train", "val", "val"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\n1.png,a\n", "has columns file, class"),
        ("path,label\n1.png,a\nnone.png,b\n", "names 1 file (line 3: none.png) that do not exist"),
        ("path,label\n,a\n", "l.csv:2: a path is missing"),
        ("path,label\n1.png,\n2.png\n", "l.csv gives no sample a label"),
        ("path,label,split\n1.png,a,holdout\n", 'l.csv:2: split "holdout"'),
        ("path,label,split\n1.png,a,train\n2.png,b,\n", "some samples a split and others none"),
        ("path,label,split\n1.png,a,test\n2.png,b,test\n", "no training samples"),
        ("", "has columns none"),
        ("path;label\n1.png;a\n", "has columns path;label"),
        ("path,label\n", "a header and no samples"),
        ("path,label\n1,png,a\n", "l.csv:2: 3 fields under 2 columns"),
        ("path,label\n1.png,a\nl.csv,b\n", "names 1 file (line 3: l.csv) that are no images"),
        ('path,label\n1.png,"a\nb\n', "one class only"),
        ('path,label\n1.png,"' + "x" * 140_000 + "\n", "l.csv:2: not readable as CSV"),
        ('path,label\n1.png,"two\nlines"\n\n3.png,b\n', "(line 5: 3.png)"),
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
        (["val/a/1.png", "test/b/1.png"], "test and val but no train folder"),
        (["a/1.png", "b/1.png", "test/a/2.png"], "test but no train folder"),
        (["train/1.png", "test/2.png"], "has images but no class folders in test and train"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "has images but no class folders in test"),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png", "test/d/1.png", "test/e/1.png"],
            "1 class (c) of val and 2 classes (d, e) of test do not occur in train",
        ),
    ],
)
def test_bad_folders(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        scan(tmp_path)
    assert message in caught.value.message


def test_missing_files_of_a_csv_are_listed_and_counted(tmp_path):
    lines = "".join(f"{number}.png,a\n" for number in range(13))
    (tmp_path / "l.csv").write_text("path,label\n" + lines)
    with pytest.raises(DataError) as caught:
        scan(tmp_path / "l.csv")
    assert "names 13 files (line 2: 0.png, " in caught.value.message
    assert "line 11: 9.png, and 3 more) that do not exist" in caught.value.message
    assert caught.value.hint == "paths are relative to the CSV" and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        ("a\\1.png,a\nb\\1.png,b\n", "write / for \\ in the paths"),
        ("a\\1.png,a\nb\\9.png,b\nb/1.png,b\n", "write / for \\ in the paths: 1 of them are then found"),
        ("a/1.png,a\nb/1.png,b\nb/9.png,b\n", "the other 2 are there: restore what is missing, or remove the lines"),
        ("a/9.png,a\nb\\9.png,b\n", "paths are relative to the CSV"),
    ],
)
def test_missing_files_are_looked_for(tmp_path, lines, hint):
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "l.csv").write_text("path,label\n" + lines)
    with pytest.raises(DataError, match="do not exist") as caught:
        scan(tmp_path / "l.csv")
    assert str(caught.value.hint).endswith(hint)


def test_files_that_are_no_csv(tmp_path):
    (tmp_path / "d.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"neither a folder nor a \.csv file"):
        scan(tmp_path / "d.zip")
    (tmp_path / "l.csv").write_bytes("path,label\nä.png,a\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8 text"):
        scan(tmp_path / "l.csv")


def test_a_class_may_be_called_train(tmp_path):
    touch(tmp_path, "bus/1.png", "car/1.png", "train/1.png", "train/2.png")
    listing = scan(tmp_path)
    assert listing.labels == ("bus", "car", "train") and listing.kind == "class folders"
    assert {sample.split for sample in listing.samples} == {None}


def test_empty_folders_and_what_windows_leaves_are_no_classes(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png", "__MACOSX/._1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "litter").mkdir()
    (tmp_path / "litter/Thumbs.db").touch()
    assert scan(tmp_path).labels == ("a", "b")


def test_a_class_whose_files_are_no_images_does_not_vanish(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/1.HEIC").touch()
    with pytest.raises(DataError, match=r"has 1 folder \(c: \.heic\) without images") as caught:
        scan(tmp_path)
    assert ".webp" in str(caught.value.hint)


def test_images_beside_class_folders_are_told_of(tmp_path):
    touch(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match="holds no images in class folders, but 2 in none"):
        scan(tmp_path)


def test_links(tmp_path):
    touch(tmp_path, "elsewhere/1.png", "d/b/1.png")
    (tmp_path / "d/a").symlink_to("../elsewhere")  # a class folder may be a link
    (tmp_path / "d/b/again").symlink_to("..")  # would lead in a circle
    (tmp_path / "d/round").symlink_to("round")
    (tmp_path / "d/b/dangling.png").symlink_to("nowhere.png")  # judged when it is read
    assert [sample.path for sample in scan(tmp_path / "d").samples] == ["a/1.png", "b/1.png", "b/dangling.png"]


def test_names_that_are_not_text(tmp_path):
    touch(tmp_path, "a/1.png", "b/ünï 2.png")
    assert scan(tmp_path).samples[1].path == "b/ünï 2.png"
    try:
        Path(os.fsdecode(bytes(tmp_path / "b") + b"/caf\xe9.png")).touch()
    except OSError:
        pytest.skip("this file system keeps to UTF-8")
    with pytest.raises(DataError, match=r"1 file \(b/caf.\.png\) whose names are not UTF-8"):
        scan(tmp_path)


def test_the_fingerprint_sees_a_changed_file_and_a_changed_label(tmp_path):
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "l.csv").write_text("path,label\n1.png,a\n2.png,b\n")
    seen = {fingerprint(scan(tmp_path / "l.csv"))}
    (tmp_path / "l.csv").write_text("path,label\n1.png,b\n2.png,a\n")
    seen.add(fingerprint(scan(tmp_path / "l.csv")))
    facts = (tmp_path / "1.png").stat()
    os.utime(tmp_path / "1.png", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    seen.add(fingerprint(scan(tmp_path / "l.csv")))
    assert len(seen) == 3


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
