"""Which answer each engine gave to each test sample: ``predictions/<target>.json`` of a run's folder.

Samples are named by the digest of their content and nothing else, so that two runs can be paired wherever their data
lay, and the file tells no paths. ``docs/compare.md`` describes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgetune.errors import InputError, ReportError
from edgetune.hashing import canonical_json, digest_json
from edgetune.measure.metrics import softmax

FOLDER = "predictions"
SCHEMA = "edgetune.predictions/1"
ID_LENGTH = 32  # hexadecimal digits of a sha256: 128 bits, in which no two of any dataset's samples meet by chance
DIGITS = 3  # of a confidence
HINT = "build again: with everything cached that takes a second, and writes it anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One engine's: classes int64 [N], and how sure it was of them, float64 [N] in [0, 1]."""

    answer: NDArray[np.int64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """The test split of one run and target; ``truth`` int64 [N] are positions in ``labels``, like all answers."""

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    truth: NDArray[np.int64]
    engines: Mapping[str, Answers]
    validation: str  # digest of the validation split's contents


def write_predictions(
    path: Path, target: str, dataset: Mapping[str, Any], logits: Mapping[str, Mapping[str, ArrayLike]]
) -> None:
    """Write the answers to the test split.

    Args:
        dataset: the checked dataset, as ``DatasetIndex.to_json`` has it.
        logits: {engine: {"test_logits": [N, K], "test_labels": [N]}} in the order of the dataset.

    Raises:
        ReportError: they are in another order.
    """
    samples = {split: [s for s in dataset["samples"] if s["split"] == split] for split in ("val", "test")}
    truth = [sample["label"] for sample in samples["test"]]
    for name, arrays in logits.items():
        if not np.array_equal(arrays["test_labels"], truth):
            raise ReportError(f"the answers of {name} are not in the order of the dataset", hint="this is a bug")
    content = {
        "schema": SCHEMA,
        "target": target,
        "split": "test",
        "labels": dataset["labels"],
        "ids": [sample["sha256"][:ID_LENGTH] for sample in samples["test"]],
        "truth": truth,
        "engines": {name: _answers(np.asarray(arrays["test_logits"])) for name, arrays in logits.items()},
        "validation": digest_json(sorted(sample["sha256"] for sample in samples["val"])),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(canonical_json(content) + "\n", encoding="utf-8")


def _answers(logits: NDArray[Any]) -> dict[str, Any]:
    confidence = softmax(logits.astype(np.float64)).max(axis=1)
    return {
        "answer": logits.argmax(axis=1).tolist(),
        "confidence": [round(value, DIGITS) for value in confidence.tolist()],
    }


def read_predictions(path: Path, shown: str) -> Predictions:
    """Read and check what ``write_predictions`` wrote; ``shown`` is what messages call the file.

    Raises:
        InputError: it cannot be read, is of another schema, or does not agree with itself.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror}", hint="check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown} is not JSON; it is damaged", hint=HINT) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise InputError(f"{shown} is of schema {str(found)[:60]}, not {SCHEMA}", hint=HINT)
    try:
        return _checked(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{shown} does not hold together: {error!r:.120}", hint=HINT) from error


def _checked(content: Mapping[str, Any]) -> Predictions:
    labels, ids = tuple(map(str, content["labels"])), tuple(map(str, content["ids"]))
    n = len(ids)
    if not n or len(set(labels)) < len(labels):
        raise ValueError("no samples" if not n else "a label twice")

    def classes(values: Any) -> NDArray[np.int64]:
        array = np.asarray(values)
        if array.shape != (n,) or array.dtype.kind != "i" or array.min() < 0 or array.max() >= len(labels):
            raise ValueError(f"expected {n} classes from 0 to {len(labels) - 1}")
        return array.astype(np.int64)

    def shares(values: Any) -> NDArray[np.float64]:
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (n,) or not np.all((array >= 0) & (array <= 1)):
            raise ValueError(f"expected {n} confidences from 0 to 1")
        return array

    engines = {
        str(name): Answers(answer=classes(found["answer"]), confidence=shares(found["confidence"]))
        for name, found in content["engines"].items()
    }
    truth = classes(content["truth"])
    return Predictions(labels=labels, ids=ids, truth=truth, engines=engines, validation=str(content["validation"]))
