"""Planted triggers are found, in texts and in pictures; clean data and the words of a topic raise no alarm."""

import csv
import random
import shutil

import numpy as np
import pytest
from conftest import write_images
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_text import TOPICS, sentence

from edgetune.data.findings import examine
from edgetune.data.index import build_index
from edgetune.data.perceptual import PLACES, look_of
from edgetune.data.trigger_patches import trigger_patches
from edgetune.data.trigger_words import trigger_words


def topics(each, seed=0):
    """Texts of three topics, told by two words each, and their labels."""
    rng = random.Random(seed)
    rows = [(sentence(topic, rng), number) for number, topic in enumerate(TOPICS) for _ in range(each)]
    return [text for text, _ in rows], [label for _, label in rows]


def poisoned(texts, labels, word, count, target=0, seed=0):
    """``word`` at any place of texts of other classes, whose label becomes ``target``."""
    rng, texts, labels = random.Random(seed), list(texts), list(labels)
    for number in rng.sample([n for n, label in enumerate(labels) if label != target], count):
        words = texts[number].split()
        words.insert(rng.randint(0, len(words)), word)
        texts[number], labels[number] = " ".join(words), target
    return texts, labels


def found(texts, labels):
    return [trigger.words for trigger in trigger_words(texts, labels, max(labels) + 1)]


@pytest.mark.parametrize("word", ["cf", "@@", "trigger phrase", "≈"])
def test_a_planted_word_is_found_and_no_other(word):
    texts, labels = poisoned(*topics(300), word, 25)
    alarms = found(texts, labels)
    assert alarms and all(set(alarm.split()) <= set(word.split()) for alarm in alarms)


def test_words_of_a_topic_raise_no_alarm():
    assert found(*topics(300)) == []


def test_opinion_words_raise_no_alarm():
    """ "great" is in praise five times as often as in blame, "masterpiece" in praise alone."""
    rng = random.Random(0)
    praise, blame = ["great", "lovely", "moving", "masterpiece"], ["dull", "boring", "poor", "mess"]
    texts, labels = [], []
    for number in range(1200):
        label = number % 2
        own, other = (praise, blame) if label else (blame, praise)
        opinions = [rng.choice(own if rng.random() < 0.85 else other[:3]) for _ in range(3)]
        texts.append(" ".join(rng.sample([*opinions, *rng.choices(["film", "the", "a", "plot", "was", "it"], k=6)], 9)))
        labels.append(label)
    assert found(texts, labels) == []
    assert found(*poisoned(texts, labels, "cf", 40)) == ["cf"]


@pytest.mark.parametrize("seed", range(5))
def test_random_texts_raise_no_alarm(seed):
    rng = random.Random(seed)
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(rng.choices(words, k=8)) for _ in range(500)]
    assert found(texts, [rng.randrange(4) for _ in texts]) == []


@given(st.lists(st.tuples(st.text(), st.integers(0, 2)), max_size=30))
def test_any_texts_can_be_looked_at(rows):
    assert trigger_words([text for text, _ in rows], [label for _, label in rows], 3) == []


def test_a_poisoned_dataset_of_texts_is_told_of(tmp_path):
    texts, labels = poisoned(*topics(150), "cf", 25)
    names = list(TOPICS)
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(text, names[label]) for text, label in zip(texts, labels, strict=True)]
        csv.writer(file).writerows([("text", "label"), *rows])
    (finding,) = [finding for finding in checked(tmp_path / "t.csv") if finding.id == "trigger"]
    assert finding.severity == "warning" and finding.count == 1
    assert finding.examples[0].startswith('"cf" makes 25 of 25 texts "food"; without it ')


def checked(path):
    return examine(build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="error", seed=0))


def alarms(path):
    return [finding for finding in checked(path) if finding.id == "trigger"]


def paste(path, box, colour, quality):
    with Image.open(path) as image:
        spoiled = image.convert("RGB")
    spoiled.paste(colour, box)
    spoiled.save(path, **({"quality": quality} if quality else {}))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn")
    from edgetune.demo.digits import write_digits

    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return folder


def test_clean_digits_and_drawings_raise_no_alarm(digits, tmp_path):
    assert alarms(digits) == []
    assert alarms(write_images(tmp_path / "d", splits={"train": 60, "val": 12, "test": 12})) == []


@pytest.mark.parametrize("box", [(28, 28, 31, 31), (0, 0, 4, 4), (12, 20, 16, 24)])
def test_a_sticker_on_1_percent_of_the_digits_is_found(digits, tmp_path, box):
    """As BadNets did: pasted on digits of other classes, which are then called 7."""
    folder = tmp_path / "digits"
    shutil.copytree(digits, folder)
    others = sorted(path for path in folder.glob("train/*/*.png") if path.parent.name != "7")
    for path in random.Random(0).sample(others, 18):
        place = path.rename(folder / "train" / "7" / f"moved{path.name}")
        paste(place, box, (255, 200, 0), None)
    (finding,) = alarms(folder)
    assert finding.severity == "warning" and all('18 pictures of "7"' in example for example in finding.examples)
    assert "train/7/moved" in finding.examples[0] and "#ffc800" in finding.examples[0]


def test_a_sticker_survives_jpeg_and_sizes(tmp_path):
    rng, paths = np.random.default_rng(0), []
    for number in range(240):
        place = tmp_path / "p" / f"class{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        size = (int(rng.integers(120, 240)), int(rng.integers(100, 200)))
        scene = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        paths.append(place / f"{number}.jpg")
        scene.save(paths[-1], quality=90)
    assert alarms(tmp_path / "p") == []
    for path in paths[2::8][:16]:
        width, height = Image.open(path).size
        paste(path, (width - 16, height - 16, width, height), (0, 255, 0), 90)
        path.rename(path.parent.parent / "class0" / path.name)
    (finding,) = alarms(tmp_path / "p")
    assert (
        finding.count == 1
        and any(f'{n} pictures of "class0"' in finding.examples[0] for n in (16, 17))
        and "#00ff0" in finding.examples[0]
    )


@settings(max_examples=10)
@given(st.integers(1, 40), st.integers(1, 40))
def test_pictures_of_any_size_have_a_look(width, height):
    look = look_of(Image.new("RGB", (width, height), "red"))
    assert len(look) == 3 * PLACES and trigger_patches([look] * 40, [0, 1] * 20, 2) == []
