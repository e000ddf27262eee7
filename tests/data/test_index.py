"""The checked index: splits filled, bad files listed or skipped, and the same after JSON."""

import json

import pytest
from conftest import write_images
from PIL import Image

from edgetune.data.check import MAX_PIXELS, check_image
from edgetune.data.few_samples import too_few
from edgetune.data.index import DatasetIndex, build_index
from edgetune.errors import DataError


def build(path, **changes):
    options = {"val_fraction": 0.2, "test_fraction": 0.2, "on_bad_file": "error", "seed": 0} | changes
    return build_index(path, **options)


def test_ready_splits_are_kept(shapes):
    index = build(shapes)
    assert index.carved == ()
    assert {name: len(index.split(name)) for name in ("train", "val", "test")} == {"train": 72, "val": 24, "test": 36}
    assert all(sample.size == (40, 40) and len(sample.sha256) == 64 for sample in index.samples)


def test_missing_splits_are_carved(tmp_path):
    index = build(write_images(tmp_path / "d", splits={"": 10}))
    assert index.carved == ("test", "val")
    assert {name: len(index.split(name)) for name in ("train", "val", "test")} == {"train": 18, "val": 6, "test": 6}
    assert build(tmp_path / "d") == index
    assert build(tmp_path / "d", seed=1) != index


def test_json_round_trip(shapes):
    index = build(shapes)
    content = json.loads(json.dumps(index.to_json()))
    assert DatasetIndex.from_json(content) == index
    assert content["counts"]["train"] == {"blob": 24, "cross": 24, "stripes": 24}


def test_a_class_that_loses_its_images_by_skipping(tmp_path):
    folder = write_images(tmp_path / "d", splits={"train": 3, "val": 1, "test": 1})
    for path in (folder / "train/cross").glob("*"):
        path.write_bytes(b"")
    (told,) = too_few(build(folder, on_bad_file="skip"))
    assert told.examples == ("cross: 0",) and told.do.startswith("every class needs at least 1; 3 unusable ones")
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="15 of 15 samples cannot be used") as caught:
        build(folder, on_bad_file="skip")
    assert caught.value.hint == "see that this is the right dataset"


def test_skipped_files_are_recorded_with_their_problem(tmp_path):
    folder = write_images(tmp_path / "d", splits={"train": 3, "val": 1, "test": 1})
    (folder / "train/cross/001.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        build(folder)
    assert caught.value.message == "1 of 15 samples cannot be used:\n  train/cross/001.png is empty (0 bytes)"
    assert 'on_bad_file = "skip"' in str(caught.value.hint) and caught.value.exit_code == 2
    index = build(folder, on_bad_file="skip")
    assert index.skipped == (("train/cross/001.png", "is empty (0 bytes)"),)
    assert index.counts()["train"] == {"blob": 3, "cross": 2, "stripes": 3}
    assert DatasetIndex.from_json(index.to_json()) == index


def test_a_class_too_small_to_be_split(tmp_path):
    folder = write_images(tmp_path / "d", splits={"": 3})
    assert all(set(counts.values()) == {1} for counts in build(folder).counts().values())
    assert not list(too_few(build(folder)))
    (folder / "cross/000.png").unlink()
    (told,) = too_few(build(folder))
    assert told.severity == "error" and told.examples == ("cross: 2",)
    assert "at least 3, because test and val must be carved from train" in told.do


def test_another_schema_is_refused(shapes):
    with pytest.raises(DataError, match=r"is edgetune\.dataset/0, not edgetune\.dataset/2"):
        DatasetIndex.from_json({**build(shapes).to_json(), "schema": "edgetune.dataset/0"})


def test_many_bad_files_are_summed_up(tmp_path):
    folder = write_images(tmp_path / "d", splits={"": 30})
    for path in (folder / "cross").glob("*"):
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        build(folder)
    assert "30 of 90 samples" in caught.value.message and "and 10 more (30 x is empty)" in caught.value.message


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_all_colour_modes_are_fine(tmp_path, mode):
    name = "x.tif" if mode in ("CMYK", "I;16") else "x.png"
    Image.new(mode, (9, 7)).save(tmp_path / name)
    facts = check_image(tmp_path, name)
    assert facts.problem is None and facts.size == (9, 7)


def test_the_limit_of_pixels_is_checked_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr("edgetune.data.check.MAX_PIXELS", 10)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert "4 x 4 pixels" in check_image(tmp_path, "x.png").problem
    assert MAX_PIXELS == 100_000_000
