"""Each finding is found in data that has it, and in no other."""

import resource
import shutil

import numpy as np
import pytest
from conftest import write_images
from PIL import Image

from edgetune.data.clean import write_list
from edgetune.data.findings import examine
from edgetune.data.index import build_index
from edgetune.errors import InputError
from edgetune.toml import similar


@pytest.fixture
def data(tmp_path):
    return write_images(tmp_path / "data", splits={"train": 24, "val": 10, "test": 10})


def index_of(path):
    return build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="skip", seed=0)


def found(path, **options):
    return {finding.id: finding for finding in examine(index_of(path), **options)}


def ids(path):
    """What is found beside that drawn stripes look alike, which they do."""
    return set(found(path)) - {"look-alike"}


def test_clean_data_has_no_findings(data):
    assert ids(data) == set()


def test_a_leak_is_an_error_unless_it_is_allowed(data):
    shutil.copyfile(data / "train/blob/000.png", data / "test/blob/new.png")
    leak = found(data)["leak"]
    assert leak.severity == "error" and leak.examples == ("train/blob/000.png = test/blob/new.png",)
    assert found(data, allow_leaks=True)["leak"].severity == "warning"
    assert "allow_leaks" in str(leak) and "--fix" in str(leak)


def test_a_copy_in_other_clothes_is_a_look_alike(data):
    rng = np.random.default_rng(0)
    scene = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    scene.save(data / "train/blob/scene.png")
    scene.resize((48, 48)).save(data / "val/blob/scene.jpg", quality=60)
    finding = found(data)["look-alike"]
    assert finding.severity == "warning" and "train/blob/scene.png ~ val/blob/scene.jpg" in finding.examples


def test_copies_in_one_split_and_pictures_with_two_labels(data):
    shutil.copyfile(data / "train/blob/000.png", data / "train/blob/copy.png")
    shutil.copyfile(data / "train/blob/001.png", data / "train/cross/copy.png")
    here = found(data)
    assert here["duplicate"].severity == "info" and here["duplicate"].count == 1
    assert here["two-labels"].examples == ("train/blob/001.png = train/cross/copy.png",)


def test_labels_that_look_alike(data):
    for split in ("train", "val", "test"):
        (data / split / "Stripes").mkdir()
        for number in range(10):
            noise = np.random.default_rng(len(split) * 100 + number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(data / split / f"Stripes/{number}.png")
    assert found(data)["label-typo"].examples == ('"Stripes" (30) may be "stripes" (44)',)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("T-shirt", "t shirt", True), ("longsleeve", "longsleeves", True), ("shirt", "t-shirt", False),
        ("outwear", "outware", False), ("shape1", "shape2", False), ("class 10", "class 11", False),
        ("cat", "bat", False), ("dress", "shoes", False), ("0", "0.0", True), ("1e3", "1000", True), ("07", "7", True),
        ("1", "-1", False), ("1", "1.5", False), ("1e999999", "1e-999999", False), ("1-2", "12", True),
    ],
)  # fmt: skip
def test_names_that_may_be_one(one, other, same):
    assert similar(one, other) is same


def test_imbalance_few_and_shift(tmp_path):
    folder = write_images(tmp_path / "d", splits={"train": 200, "val": 10, "test": 60})
    for path in sorted((folder / "train/cross").glob("*"))[19:]:
        path.unlink()
    for path in sorted((folder / "test/blob").glob("*"))[5:]:
        path.unlink()
    here = found(folder)
    assert here["imbalance"].problem == "blob has 200 training pictures and cross has 19"
    assert here["few-test"].examples == ("blob: 5",) and here["few-train"].examples == ("cross: 19",)
    assert here["few-train"].severity == "info" and "few-val" not in here and "class-shift" in here


def test_copies_are_carved_together(tmp_path):
    folder = write_images(tmp_path / "d", splits={"": 20})
    for path in sorted(folder.rglob("*.png")):
        shutil.copyfile(path, path.with_name(f"copy-{path.name}"))
    here = found(folder)
    assert "leak" not in here and here["duplicate"].count == 60 and "carved" in here


def test_a_list_that_names_a_file_twice(data, tmp_path):
    path, named = tmp_path / "list.csv", "data/train/blob/000.png"
    assert write_list(index_of(data), path) == 0
    path.write_text(
        path.read_text() + f"{named},blob,val\n./{named},blob,val\n"  # a leak, in val twice
        "data/train/blob/001.png,blob,train\ndata/train/cross/001.png,blob,train\n"
    )
    here = found(path)
    assert here["leak"].severity == "error"
    assert here["leak"].examples == (f'{named} (train, "blob") = {named} (val, "blob"), 2 times',)
    assert here["leak"].samples == (named,)
    assert here["duplicate"].examples == ('data/train/blob/001.png (train, "blob"), 2 times',)
    assert here["two-labels"].examples == (
        'data/train/cross/001.png (train, "blob") = data/train/cross/001.png (train, "cross")',
    )
    assert write_list(index_of(path), tmp_path / "clean.csv") == 5
    assert ids(tmp_path / "clean.csv") == set()


def test_a_list_for_which_there_is_no_room_is_not_begun(data, tmp_path):
    index, before = index_of(data), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(InputError, match="cannot write"):
            write_list(index, tmp_path / "clean.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [data.name]
    assert write_list(index, tmp_path / "clean.csv") == 0


def test_the_cleaned_list_has_no_findings_and_reads_back(data, tmp_path):
    shutil.copyfile(data / "train/blob/000.png", data / "test/blob/leak.png")
    shutil.copyfile(data / "train/blob/001.png", data / "train/cross/torn.png")
    shutil.copyfile(data / "val/blob/001.png", data / "val/blob/twice.png")
    (data / "train/blob/002.png").write_bytes(b"")
    before = sorted(path.name for path in data.rglob("*"))
    assert write_list(index_of(data), tmp_path / "clean.csv") == 5
    cleaned = index_of(tmp_path / "clean.csv")
    assert ids(tmp_path / "clean.csv") == set()
    assert {s.split for s in cleaned.samples if s.path.endswith("leak.png")} == {"test"}
    assert sorted(path.name for path in data.rglob("*")) == before
    with pytest.raises(InputError, match="is not overwritten"):
        write_list(cleaned, tmp_path / "clean.csv")
