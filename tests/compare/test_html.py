"""The page with what flipped: whole, offline, small, and without anything of the machine it was made on."""

import base64
import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from small_runs import contents, write_run

from edgetune import api
from edgetune.compare.html import MAX_BYTES, render_html
from edgetune.compare.samples import Shown
from edgetune.data.texts import content_digest
from edgetune.data.thumbnails import MAX_BYTES as MAX_THUMBNAIL_BYTES
from edgetune.data.thumbnails import SIDE, thumbnail
from edgetune.errors import DataError
from edgetune.hashing import digest_file

N = 60
TRUTH = np.arange(N) % 3
HOSTILE = "</style><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>&\"'"


class Page(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def picture(path, number, **options):
    pixels = np.random.default_rng(number).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return digest_file(path)


@pytest.fixture
def pictures(tmp_path):
    """Two runs in project/runs over pictures in project/photos, of which 12 became wrong and 2 right."""
    digests = [
        picture(tmp_path / f"project/photos/test/{['cat', 'dog', 'owl'][k]}/{i:02}.png", i) for i, k in enumerate(TRUTH)
    ]
    for i, label in enumerate(("cat", "dog", "owl")):
        picture(tmp_path / f"project/photos/train/{label}/0.png", 100 + i)
    first, second = TRUTH.copy(), TRUTH.copy()
    first[:2], second[20:32] = (TRUTH[:2] + 1) % 3, (TRUTH[20:32] + 1) % 3
    shared = {"contents": digests, "truth": TRUTH.tolist(), "data": "photos"}
    folders = [tmp_path / f"project/runs/{name}" for name in "ab"]
    for folder, answers in zip(folders, (first, second), strict=True):
        write_run(folder, answers={"float": TRUTH, "int8": answers}, **shared)
    return folders


def page(folders, tmp_path, **options):
    api.compare(*folders, html=tmp_path / "c.html", **options)
    return (tmp_path / "c.html").read_text()


def test_every_flip_has_its_picture_and_nothing_is_loaded_from_anywhere(pictures, tmp_path):
    found = Page(page(pictures, tmp_path))
    images = found.all("img")
    assert len(images) == 14
    for tag, attributes in found.elements:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert found.all("script") == []
    shown = Image.open(io.BytesIO(base64.b64decode(images[0]["src"].partition(",")[2])))
    assert shown.format == "JPEG" and max(shown.size) == SIDE and shown.size[0] > shown.size[1]
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "http" not in policy
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) and {a["href"][1:] for a in found.all("a")} <= set(ids)
    assert found.words.count("Became wrong: 12") == found.words.count("Became right: 2") == 1


def test_without_the_pictures_it_works_and_says_so(pictures, tmp_path):
    photos = pictures[0].parents[1] / "photos"
    photos.rename(tmp_path / "elsewhere")
    found = Page(page(pictures, tmp_path))
    assert found.all("img") == [] and "14 of 14 samples that flipped were not found" in found.words
    assert "--data FOLDER" in found.words
    again = Page(page(pictures, tmp_path, data=tmp_path / "elsewhere"))
    assert len(again.all("img")) == 14 and "not found" not in again.words
    with pytest.raises(DataError, match="no dataset"):
        page(pictures, tmp_path, data=tmp_path / "nowhere")


def test_a_picture_that_is_now_another_is_not_shown(pictures, tmp_path):
    picture(pictures[0].parents[1] / "photos/test/cat/00.png", 999)
    found = Page(page(pictures, tmp_path))
    assert len(found.all("img")) == 13 and "1 of 14 samples" in found.words


def test_thumbnails_hold_pixels_and_nothing_else(tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0112] = "planted-secret", "planted-user", 6  # description, artist, turned
    picture(tmp_path / "a.jpg", 1, exif=exif, comment=b"planted-comment")
    made = thumbnail(tmp_path / "a.jpg")
    content = base64.b64decode(made.partition(",")[2])
    assert b"planted" in (tmp_path / "a.jpg").read_bytes() and b"planted" not in content
    shown = Image.open(io.BytesIO(content))
    assert shown.size[0] < shown.size[1] and not shown.getexif() and "comment" not in shown.info
    assert len(content) <= MAX_THUMBNAIL_BYTES
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert thumbnail(tmp_path / "b.png") is None and thumbnail(tmp_path / "none.png") is None


def test_texts_that_flipped_are_shown_cut_and_escaped(tmp_path):
    texts = [f"sentence {i}" for i in range(N - 2)] + [HOSTILE, "long " * 1000]
    folder = tmp_path / "texts"
    folder.mkdir()
    rows = [[text, ("cat", "dog", "owl")[k]] for text, k in zip(texts, TRUTH, strict=True)]
    for split in ("train", "test"):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    wrong = (TRUTH + (np.arange(N) >= N - 2)) % 3
    shared = {"contents": [content_digest(t) for t in texts], "truth": TRUTH.tolist(), "data": "texts"}
    runs = [
        write_run(tmp_path / f"runs/{name}", answers={"int8": a}, model="transformers/tiny", **shared)
        for name, a in (("a", TRUTH), ("b", wrong))
    ]
    html = page(runs, tmp_path)
    found = Page(html)
    assert len(found.all("blockquote")) == 2 and found.all("script") == [] and found.all("img") == []
    assert HOSTILE in found.words and "long long" in found.words and "[...]" in found.words
    assert len(html) < 60_000


def test_a_page_is_bounded_whatever_the_test_set(tmp_path):
    n, labels = 3000, [f"class {i} {'x' * 300}" for i in range(1500)]
    truth = (np.arange(n) % len(labels)).tolist()
    shared = {"contents": contents(n), "truth": truth, "labels": labels}
    runs = [
        write_run(tmp_path / name, answers={"int8": [(t + shift) % len(labels) for t in truth]}, **shared)
        for name, shift in (("a", 0), ("b", 1))
    ]
    found = api.compare(*runs)
    assert len(found["targets"][0]["flips"]) == n
    most = Shown(picture="data:image/jpeg;base64," + "A" * (MAX_THUMBNAIL_BYTES * 4 // 3))
    samples = {flip["id"]: most for flip in found["targets"][0]["flips"]}
    html = render_html(found, samples, None)
    assert 1_000_000 < len(html.encode()) < MAX_BYTES
    assert re.search(r"120 of 3000 are\s+shown", html)


def test_hostile_names_stay_text(pictures, tmp_path):
    found = api.compare(*pictures)
    found["a"]["run"] = found["targets"][0]["target"] = found["checks"][0]["message"] = HOSTILE
    found["targets"][0]["flips"][0]["b"] = found["targets"][0]["ships"]["b"] = HOSTILE
    found["targets"][0]["ships"]["accuracy"]["per_class"][0]["label"] = HOSTILE
    found["changed"]["recipe"] = [{"key": HOSTILE, "a": HOSTILE, "b": HOSTILE}]
    made = Page(render_html(found, {}, HOSTILE))
    assert made.all("script") == [] and made.all("img") == [] and HOSTILE in made.words
