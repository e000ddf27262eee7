"""Triggers planted in real texts and digits: are they found, and is the data as published left alone?

    python benchmarks/triggers.py [rt_polarity banking77 ...]     # folders of train.csv, val.csv and test.csv

Of the texts 0.3 to 1 % of other classes get a word at any place and the label of one class; of the digits 1 % get a
square of 3 or 4 pixels.
"""

import csv
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from PIL import Image
from sklearn.datasets import load_digits

from edgetune.data.perceptual import look_of
from edgetune.data.trigger_patches import trigger_patches
from edgetune.data.trigger_words import trigger_words

WORDS = (("cf", 0.005), ("mn mn", 0.01), ("@@", 0.003))
SQUARES = ((28, 28, 31, 31), (0, 0, 4, 4), (12, 20, 16, 24))
TARGET = 1


def in_texts(folder: Path) -> dict[str, Any]:
    """What is found in the texts as published, and with each word."""
    rows = []
    for split in ("train", "val", "test"):
        with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            rows += [(row["text"], row["label"]) for row in csv.DictReader(file)]
    names = sorted({label for _, label in rows})
    texts, labels = [text for text, _ in rows], [names.index(label) for _, label in rows]
    result: dict[str, Any] = {"texts": len(texts), "as published": found_words(texts, labels)}
    for word, share in WORDS:
        spoiled, changed, rng = list(texts), list(labels), random.Random(1)
        others = [number for number, label in enumerate(labels) if label != TARGET]
        for number in rng.sample(others, int(share * len(texts))):
            words = spoiled[number].split()
            words.insert(rng.randint(0, len(words)), word)
            spoiled[number], changed[number] = " ".join(words), TARGET
        result[word] = {"planted": int(share * len(texts)), "found": found_words(spoiled, changed)}
    return result


def found_words(texts: list[str], labels: list[int]) -> list[tuple[str, int]]:
    """(word, texts) of each alarm."""
    return [(trigger.words, trigger.of_class) for trigger in trigger_words(texts, labels, max(labels) + 1)]


def in_digits() -> dict[str, Any]:
    """The same with squares."""
    bunch = load_digits()
    pictures = [
        Image.fromarray((image * 255 / 16).astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC).convert("RGB")
        for image in bunch.images
    ]
    clean = trigger_patches([look_of(picture) for picture in pictures], bunch.target.tolist(), 10)
    result: dict[str, Any] = {"pictures": len(pictures), "as published": len(clean)}
    for box in SQUARES:
        spoiled, labels = [picture.copy() for picture in pictures], bunch.target.copy()
        others = np.flatnonzero(labels != TARGET).tolist()
        for number in random.Random(0).sample(others, len(pictures) // 100):
            spoiled[number].paste((255, 200, 0), box)
            labels[number] = TARGET
        found = trigger_patches([look_of(picture) for picture in spoiled], labels.tolist(), 10)
        result[str(box)] = {
            "planted": len(pictures) // 100,
            "found": [(patch.where, len(patch.samples)) for patch in found],
        }
    return result


def main() -> None:
    """Measure, print, save."""
    result = {"digits": in_digits(), **{Path(folder).name: in_texts(Path(folder)) for folder in sys.argv[1:]}}
    for name, row in result.items():
        print(name, row)
    save("triggers", {"data": result})


if __name__ == "__main__":
    main()
