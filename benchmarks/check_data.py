"""Time and memory of `edgetune check` on 10,000 pictures and on 100,000 texts, made here.

    python benchmarks/check_data.py [--only texts]

Claim: each is checked within 60 s on one core and under 1 GiB of memory. Beside it stands what reading the files
takes, from the page cache. 500 texts of test are ones of train with a word changed; `planted_near` of them are
near enough to be found.
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import save
from PIL import Image

from edgetune.data.findings import NEAR_TEXT
from edgetune.data.near_texts import jaccard

TEXTS, PICTURES, PLANTED = 100_000, 10_000, 500
CLASSES = 10
LIMIT_MB, LIMIT_SECONDS = 1024, 60
CHECK = (
    "import json, sys, time, resource, edgetune.api as api\n"
    "started = time.perf_counter()\n"
    "found = api.check(sys.argv[1])\n"
    "seconds = time.perf_counter() - started\n"
    "findings = {f['id']: f['count'] for f in found['findings']}\n"
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
    "print(json.dumps({'seconds': seconds, 'peak_mb': peak, 'findings': findings}))"
)


def make_texts(path: Path) -> int:
    """Write the texts; returns how many of test nearly equal one of train."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]  # Zipf's law, as words have
    texts = [" ".join(rng.choices(words, weights, k=rng.randint(12, 30))) for _ in range(TEXTS - PLANTED)]
    near = 0
    rows = [(text, f"class {n // 10 % CLASSES}", ("train", "val", "test")[(n % 10 > 7) + (n % 10 > 8)]) for n, text in
            enumerate(texts)]  # fmt: skip
    for n in range(0, 10 * PLANTED, 10):
        split = texts[n].split()
        split[len(split) // 2] = "changed"
        near += jaccard(texts[n], " ".join(split)) >= NEAR_TEXT
        rows.append((" ".join(split), f"class {n // 10 % CLASSES}", "test"))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])
    return near


def make_pictures(folder: Path) -> None:
    """Blurred noise of 320 x 240 pixels, as JPEG."""
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        place = (
            folder / ("train", "val", "test")[(number % 10 > 7) + (number % 10 > 8)] / f"class{number // 10 % CLASSES}"
        )
        place.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        small.resize((320, 240), Image.Resampling.BICUBIC).save(place / f"{number:05}.jpg", quality=90)


def reading(path: Path) -> float:
    """Seconds that reading every byte takes, from the page cache."""
    started = time.perf_counter()
    for file in [path] if path.is_file() else sorted(path.rglob("*.jpg")):
        file.read_bytes()
    return time.perf_counter() - started


def check(path: Path) -> dict[str, object]:
    """A check in a process of its own."""
    reading(path)
    plain = reading(path)
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {**found, "reading_seconds": plain, "times_reading": found["seconds"] / plain}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("texts", "pictures"))
    only = parser.parse_args().only
    result: dict[str, object] = {"limits": {"mb": LIMIT_MB, "seconds": LIMIT_SECONDS}}
    with tempfile.TemporaryDirectory() as place:
        if only != "pictures":
            planted = make_texts(Path(place) / "texts.csv")
            result["texts"] = {"count": TEXTS, "planted_near": planted, **check(Path(place) / "texts.csv")}
            print(result["texts"])
        if only != "texts":
            make_pictures(Path(place) / "pictures")
            result["pictures"] = {"count": PICTURES, **check(Path(place) / "pictures")}
            print(result["pictures"])
    result["children_peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if only is None:
        save("check_data", result)


if __name__ == "__main__":
    main()
