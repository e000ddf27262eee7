"""Where the engine that ships and its baseline differ in what they get right, with the pictures or texts themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.compare.predictions import FOLDER, Predictions, read_predictions
from edgetune.compare.samples import TEXT_LENGTH
from edgetune.data.scan import data_root
from edgetune.data.thumbnails import thumbnail

MOST = 24  # of each kind
KINDS = ("negative", "positive")


def with_samples(data: Mapping[str, Any], run: Path, dataset: Path, source: Path) -> dict[str, Any]:
    """A report with the test samples that flipped, and pictures of what the data check found.

    Args:
        run: the folder with the run's predictions.
        dataset: the checked dataset's artifact.
        source: where the data lies: a folder or a table.
    """
    content = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    test, root = [sample for sample in content["samples"] if sample["split"] == "test"], data_root(source)
    targets = []
    for entry in data["targets"]:
        baseline, chosen, flips = entry["baseline"], entry["chosen"], None
        if chosen is not None and chosen != baseline["name"]:
            name = f"{entry['target']}.json"
            found = read_predictions(run / FOLDER / name, f"{FOLDER}/{name}")
            flips = gallery(found, baseline["name"], chosen, test, root)
        targets.append({**entry, "flips": flips})
    looks = [(row, thumbnail(root / row["path"])) for row in data["data_examples"]]
    examples = [{**row, "thumbnail": picture} for row, picture in looks if picture is not None]
    return {**data, "targets": targets, "data_examples": examples}


def gallery(
    found: Predictions, baseline: str, chosen: str, samples: Sequence[Mapping[str, Any]], root: Path
) -> dict[str, Any]:
    """``flips`` of a target in the report: how many there are of each kind, and the surest mistakes of both.

    Args:
        found: the answers to the test split.
        samples: the test split of the checked dataset, in the order of the answers: path, and text if it is one.
        root: what paths are relative to; a picture that is not there is left out.
    """
    before, after = found.engines[baseline], found.engines[chosen]
    was_right, is_right = before.answer == found.truth, after.answer == found.truth
    places = {"negative": np.flatnonzero(was_right & ~is_right), "positive": np.flatnonzero(~was_right & is_right)}
    wrong = {"negative": after, "positive": before}
    shown = [
        {
            "kind": kind,
            "path": str(samples[i]["path"]),
            "truth": found.labels[found.truth[i]],
            "baseline": found.labels[before.answer[i]],
            "chosen": found.labels[after.answer[i]],
            "confidence_baseline": float(before.confidence[i]),
            "confidence_chosen": float(after.confidence[i]),
            **_look(samples[i], root),
        }
        for kind in KINDS
        for i in sorted(places[kind].tolist(), key=lambda i: -float(wrong[kind].confidence[i]))[:MOST]
    ]
    return {**{kind: len(places[kind]) for kind in KINDS}, "shown": shown}


def _look(sample: Mapping[str, Any], root: Path) -> dict[str, str]:
    if (text := sample.get("text")) is not None:
        return {"text": text[:TEXT_LENGTH] + (" [...]" if len(text) > TEXT_LENGTH else "")}
    picture = thumbnail(root / str(sample["path"]))
    return {} if picture is None else {"thumbnail": picture}
