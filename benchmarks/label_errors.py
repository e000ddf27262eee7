"""Wrong labels, planted and found again: what of the list is right, and what of the planted is in it.

    python benchmarks/label_errors.py [rt_polarity banking77 ...]     # folders of train.csv, val.csv and test.csv

3 % of the labels of scikit-learn's digits (pixels; the features of the demo's network) and of the texts given (TF-
IDF) are changed at random. Labels that were wrong before count as false alarms.
"""

import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from sklearn.datasets import load_digits

from edgetune import api
from edgetune.data.label_errors import suspects
from edgetune.data.out_of_fold import Features, out_of_fold
from edgetune.data.texts import content_digest
from edgetune.data.tfidf import tfidf

SHARE = 0.03


def judge(features: Features, truth: np.ndarray, contents: list[str]) -> dict[str, Any]:
    """Suspects without planted labels, then precision and recall with them."""
    rng = np.random.default_rng(0)
    planted = rng.choice(len(truth), int(SHARE * len(truth)), replace=False)
    labels = truth.copy()
    labels[planted] = (labels[planted] + rng.integers(1, truth.max() + 1, len(planted))) % (truth.max() + 1)
    clean = suspects(out_of_fold(features, truth.tolist(), contents), truth.tolist())
    started = time.perf_counter()
    probabilities = out_of_fold(features, labels.tolist(), contents)
    listed = {suspect.sample for suspect in suspects(probabilities, labels.tolist())}
    seconds = time.perf_counter() - started
    agreement = float((probabilities.argmax(1) == labels).mean())
    return {"suspects_as_published": len(clean), **scores(listed, set(planted.tolist())), "samples": len(truth),
            "agreement": agreement, "seconds": seconds}  # fmt: skip


def scores(listed: set[Any], planted: set[Any]) -> dict[str, Any]:
    """Precision and recall of a list."""
    hits = len(listed & planted)
    return {"listed": len(listed), "planted": len(planted), "precision": hits / max(1, len(listed)),
            "recall": hits / len(planted)}  # fmt: skip


def texts(folder: Path) -> dict[str, Any]:
    """A dataset of texts, judged by its words."""
    rows = []
    for split in ("train", "val", "test"):
        with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    words = tfidf([row["text"] for row in rows], len(names))
    truth = np.array([names.index(row["label"]) for row in rows])
    return judge(words, truth, [content_digest(row["text"]) for row in rows])


def demo() -> dict[str, Any]:
    """The digits as pictures, judged by the demo's network through `edgetune check --labels`."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "edgetune.demo", place], check=True, capture_output=True)
        folder, rng, planted = Path(place) / "digits", random.Random(0), set()
        for file in rng.sample(files := sorted(folder.rglob("*.png")), int(SHARE * len(files))):
            other = file.parent.parent / str((int(file.parent.name) + rng.randint(1, 9)) % 10) / file.name
            planted.add(file.rename(other).relative_to(folder).as_posix())
        started = time.perf_counter()
        found = api.check(place, labels=True, cache_dir=Path(place) / "store")
        seconds = time.perf_counter() - started
        finding = next(finding for finding in found["findings"] if finding["id"] == "label-error")
    return {**scores({example.split(": ")[0] for example in finding["examples"]}, planted), "seconds": seconds}


def main() -> None:
    """Measure, print, save."""
    bunch = load_digits()
    numbers = [str(number) for number in range(len(bunch.target))]
    result = {"digits, pixels": judge(bunch.data.astype(np.float32), bunch.target.astype(int), numbers)}
    result["digits, the demo's network"] = demo()
    for folder in sys.argv[1:]:
        result[f"{Path(folder).name}, words"] = texts(Path(folder))
    for name, row in result.items():
        print(name, row)
    save("label_errors", {"share": SHARE, "data": result})


if __name__ == "__main__":
    main()
