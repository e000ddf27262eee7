"""Missing values, odd sizes and colour modes in real files; ordinary data raises nothing."""

import zlib

import numpy as np
import pytest
from PIL import Image

from edgetune.data.findings import examine
from edgetune.data.index import build_index

ODD = {"missing-value", "missing-label", "odd-size", "deep-colour", "colour-tells", "colour-mode"}


def found(path):
    index = build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="skip", seed=0)
    return {finding.id: finding for finding in examine(index) if finding.id in ODD}


def picture(path, size=(40, 40), mode="RGB", high=60_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(str(path.relative_to(path.parents[2])).encode()))
    if mode == "I;16":
        Image.fromarray(rng.integers(0, high, size[::-1]).astype(np.uint16)).save(path)
    else:
        Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).convert(mode).save(path)


@pytest.fixture
def pictures(tmp_path):
    for kind in "ab":
        for number in range(15):
            picture(tmp_path / "train" / kind / f"{number}.png")
    return tmp_path


def test_ordinary_pictures_raise_nothing(pictures):
    picture(pictures / "train/a/wide.png", size=(120, 40))
    picture(pictures / "train/a/alpha.png", mode="RGBA")
    assert found(pictures) == {}


def test_icons_strips_and_deep_colours_are_told(pictures):
    picture(pictures / "train/a/icon.png", size=(8, 8))
    picture(pictures / "train/a/strip.png", size=(400, 40))
    picture(pictures / "train/b/deep.png", mode="I;16", high=4096)
    picture(pictures / "train/b/full.png", mode="I;16")  # fills its 16 bits
    told = found(pictures)
    assert set(told) == {"odd-size", "deep-colour", "colour-mode"}
    assert told["odd-size"].count == 2 and "icon.png has 8 x 8" in str(told["odd-size"].examples)
    assert told["deep-colour"].examples == ("train/b/deep.png (I;16)",)


def test_a_class_of_grey_files_is_a_shortcut_and_a_few_grey_files_are_not(pictures):
    for number in range(3):
        picture(pictures / "train/a" / f"grey{number}.png", mode="L")
    assert set(found(pictures)) == {"colour-mode"}
    for number in range(30):
        picture(pictures / "train/c" / f"{number}.png", mode="L")
    (told,) = found(pictures).values()
    assert told.id == "colour-tells" and told.examples == ("c: 100% grey, the others 9%",)


def test_small_pictures_all_alike_are_not_odd(tmp_path):
    for kind in "ab":
        for number in range(6):
            picture(tmp_path / "train" / kind / f"{number}.png", size=(8, 64), mode="L")
    assert found(tmp_path) == {}


def test_words_for_nothing_are_missing_values(tmp_path):
    rows = [f"words about number {n},{label}" for n in range(12) for label in ("good", "bad", "NA")]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["text,label", *rows, "N/A,good", " nan ,bad", "nano is small,bad"]) + "\n")
    told = found(path)
    assert set(told) == {"missing-value", "missing-label"}
    assert told["missing-value"].count == 2 and told["missing-label"].examples == ("NA",)
