"""The card tells what is known, says what is not, names nobody; the Croissant file is as its specification asks."""

import csv
import errno
import getpass
import hashlib
import json
import re
import shutil
from pathlib import Path

import mlcroissant
import pytest
from conftest import write_images
from small_text import write_texts

from edgetune import api
from edgetune.data.licence import find_licence
from edgetune.errors import InputError

APACHE = "                                 Apache License\n                           Version 2.0, January 2004\n"


@pytest.fixture
def pictures(tmp_path):
    return write_images(tmp_path / "shapes", splits={"train": 14, "val": 10, "test": 10})


def written(data, folder, **more):
    found = api.check(data, card=folder, **more)
    described = json.loads((Path(folder) / "croissant.json").read_text(encoding="utf-8"))
    return found, (Path(folder) / "dataset-card.md").read_text(encoding="utf-8"), described


def test_a_card_of_pictures(pictures):
    shutil.copyfile(pictures / "train/blob/000.png", pictures / "test/blob/leak.png")
    found, card, described = written(pictures, pictures)
    assert [Path(file).name for file in found["card"]] == ["samples.csv", "dataset-card.md", "croissant.json"]
    assert "103 pictures of 3 classes (42 train, 30 val, 31 test)" in card and "| blob | 14 | 10 | 11 |" in card
    assert card.count("unknown: nothing in the data says") == 2 and described["license"].startswith("unknown")
    assert "**error**, leak: 1 picture in more than one split" in card and "40 x 40" in card
    listed = (pictures / "samples.csv").read_bytes()
    assert described["distribution"][0]["sha256"] == hashlib.sha256(listed).hexdigest()
    rows = list(csv.DictReader(listed.decode().splitlines()))
    assert len(rows) == 103 and rows[0]["path"].startswith("test/blob/")
    own = (pictures / rows[0]["path"]).read_bytes()
    assert rows[0]["sha256"] == hashlib.sha256(own).hexdigest()
    assert described["distribution"][1]["includes"] == ["**/*.png"]


def test_a_card_of_texts_with_a_licence(tmp_path):
    data = write_texts(tmp_path / "texts", splits={"train": 20, "val": 10, "test": 10})
    (data / "LICENSE.txt").write_text(APACHE)
    _, card, described = written(data, data)
    assert "| Licence | LICENSE.txt beside the data (Apache-2.0) |" in card
    assert described["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    files = {entry["name"]: entry["sha256"] for entry in described["distribution"]}
    assert files == {
        f"{split}.csv": hashlib.sha256((data / f"{split}.csv").read_bytes()).hexdigest()
        for split in ("train", "val", "test")
    }
    assert {records["@id"] for records in described["recordSet"]} == {"train", "val", "test"}
    assert "`edgetune check` found none" in card or "**" in card
    assert not (data / "samples.csv").exists()


def test_columns_are_named_as_the_file_has_them(tmp_path):
    rows = "".join(f'"text, {i}",{"ab"[i % 2]}\n' for i in range(12))
    (tmp_path / "t.csv").write_bytes(("\ufeffText, LABEL \n" + rows).encode())
    _, _, described = written(tmp_path / "t.csv", tmp_path / "card")
    fields = described["recordSet"][0]["field"]
    columns = {field["name"]: field["source"]["extract"]["column"] for field in fields}
    assert columns == {"text": "Text", "label": " LABEL "}


def test_neither_places_nor_users_are_named(pictures, tmp_path):
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    with (elsewhere / "all.csv").open("w", newline="") as file:
        rows = [(path, path.parent.name) for path in sorted(pictures.glob("train/*/*.png"))]
        rows += [(rows[0][0].with_name("broken.png"), "blob"), (f"../shapes/{rows[0][0].parent.name}.png", "blob")]
        shutil.copyfile(rows[0][0], elsewhere.parent / "shapes" / "blob.png")
        rows[-2][0].write_bytes(b"")
        csv.writer(file).writerows([("path", "label"), *rows])
    found, _, _ = written(elsewhere / "all.csv", tmp_path / "card")
    assert {finding["id"] for finding in found["findings"]} >= {"unusable", "duplicate"}
    for path in (tmp_path / "card").iterdir():
        text = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and tmp_path.parent.name not in text and ".." not in text.replace("...", "")
        assert f"/{getpass.getuser()}/" not in text


def test_nothing_is_overwritten_and_no_class_is_made(pictures, tmp_path):
    api.check(pictures, card=tmp_path / "card")
    before = {path.name: path.read_bytes() for path in (tmp_path / "card").iterdir()}
    with pytest.raises(InputError, match="is not overwritten"):
        api.check(pictures, card=tmp_path / "card")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "card").iterdir()}
    with pytest.raises(InputError, match="taken for a class"):
        api.check(pictures, card=pictures / "card")
    api.check(pictures, card=pictures)
    assert api.check(pictures)["counts"]["train"] == {"blob": 14, "cross": 14, "stripes": 14}


def test_a_card_that_was_begun_is_finished_and_one_that_failed_leaves_nothing(pictures, tmp_path, monkeypatch):
    def full(files):
        raise OSError(errno.ENOSPC, "No space left on device")

    card = tmp_path / "card"
    with monkeypatch.context() as patch:
        patch.setattr("edgetune.data.card.write_new", full)
        with pytest.raises(InputError, match=r"cannot write into .*card: No space left"):
            api.check(pictures, card=card)
    api.check(pictures, card=card)
    before = {path.name: path.read_bytes() for path in card.iterdir()}
    (card / "croissant.json").unlink()  # as a kill before the last file leaves it
    assert len(api.check(pictures, card=card)["card"]) == 3
    assert before == {path.name: path.read_bytes() for path in card.iterdir()}
    (card / "croissant.json").unlink()
    (card / "samples.csv").write_text("mine\n")
    with pytest.raises(InputError, match=r"samples\.csv exists and is not overwritten"):
        api.check(pictures, card=card)
    assert not (card / "croissant.json").exists() and (card / "samples.csv").read_text() == "mine\n"


def test_markdown_in_names_stays_text(tmp_path):
    rows = "".join(f"text number {i},{'<b>a</b>|x' if i % 2 else '[b](http://x)'}\n" for i in range(12))
    (tmp_path / "t.csv").write_text("text,label\n" + rows)
    _, card, _ = written(tmp_path / "t.csv", tmp_path / "card")
    assert r"\<b\>a\</b\>\|x" in card and r"\[b\](http://x)" in card


@pytest.mark.parametrize(
    ("name", "text", "spdx"),
    [
        ("LICENSE", "MIT License\n\nCopyright", "MIT"), ("LICENCE.md", "Attribution 4.0 International\n", "CC-BY-4.0"),
        ("License.txt", "Attribution-NonCommercial 4.0", "CC-BY-NC-4.0"), ("COPYING", APACHE, "Apache-2.0"),
        ("LICENSE", "CC0 1.0 Universal", "CC0-1.0"), ("LICENSE", "all rights reserved", None),
    ],
)  # fmt: skip
def test_licences_that_are_known(tmp_path, name, text, spdx):
    (tmp_path / name).write_text(text)
    found = find_licence(tmp_path)
    assert found.files == (name,) and found.spdx == spdx
    assert "read it" in found.told if spdx is None else spdx in found.told


def test_the_structure_of_croissant(pictures, tmp_path):
    """What mlcroissant 1.1 asks for; the next test asks it itself."""
    _, _, described = written(pictures, tmp_path / "card")
    assert described["@type"] == "sc:Dataset" and described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert described["@context"]["@vocab"] == "https://schema.org/" and described["name"] == "shapes"
    for entry in described["distribution"]:
        needed = {"cr:FileObject": {"contentUrl", "sha256"}, "cr:FileSet": {"includes"}}[entry["@type"]]
        assert {"@id", "name", "encodingFormat", *needed} <= set(entry)
    places = {entry["@id"] for entry in described["distribution"]}
    for records in described["recordSet"]:
        for field in records["field"]:
            assert field["@id"] == f"{records['@id']}/{field['name']}" and field["dataType"] == "sc:Text"
            assert field["source"]["fileObject"]["@id"] in places
    assert re.fullmatch("[0-9a-f]{64}", described["distribution"][0]["sha256"])


@pytest.mark.parametrize("kind", ["pictures", "texts", "json lines"])
def test_mlcroissant_accepts_it_and_reads_the_records(tmp_path, kind):
    if kind == "pictures":
        data = folder = write_images(tmp_path / "shapes", splits={"train": 12, "val": 10, "test": 10})
    elif kind == "texts":
        data = folder = write_texts(tmp_path / "texts", splits={"train": 20, "val": 10, "test": 10})
    else:
        folder, data = tmp_path / "lines", tmp_path / "lines" / "all.jsonl"
        folder.mkdir()
        data.write_text("".join(json.dumps({"Text": f"text {i}", "label": "ab"[i % 2]}) + "\n" for i in range(12)))
    found = api.check(data, card=folder)
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert not dataset.metadata.issues.errors
    read = sum(len(list(dataset.records(records.id))) for records in dataset.metadata.record_sets)
    assert read == sum(sum(counts.values()) for counts in found["counts"].values())
