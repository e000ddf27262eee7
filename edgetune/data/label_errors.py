"""Labels that are probably wrong: confident learning (Northcutt, Jiang & Chuang 2021, doi 10.1613/jair.1.12125).

A class's threshold is the mean probability that its own samples have for it. A sample is in the off-diagonal of the
confident joint if another class is the most probable of those whose threshold it passes. Beyond the paper, that class
must be ten times as probable as the given one: with features that tell little, almost nothing is then listed, rather
than every tenth sample (docs/data.md has what was measured). A hundred times where a classifier of a network's
features is wrong about more than a tenth of all samples, as it is of few samples: its mistakes, of which it is
surer than one of words, would outnumber the wrong labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetune.data.index import DatasetIndex
from edgetune.data.out_of_fold import FOLDS, Features, out_of_fold
from edgetune.data.tfidf import tfidf
from edgetune.data.wording import counted, quoted, shortened, told_apart
from edgetune.errors import InputError
from edgetune.progress import Tick, silent
from edgetune.records import INFO, WARNING, DataFinding

ODDS = 10  # of the suggested label against the given one
ODDS_IN_DOUBT = 100  # where a classifier of dense features agrees with less than
AGREEMENT = 0.9  # of all labels
FEWEST = FOLDS  # different samples of a class whose labels can be judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A sample by its position, the class its label names, the one it looks like, and how probable that is."""

    sample: int
    given: int
    suggested: int
    confidence: float


def suspects(
    probabilities: NDArray[np.float64],
    labels: Sequence[int],
    odds: float = ODDS,
    contents: Sequence[str] | None = None,
) -> list[Suspect]:
    """The labels to doubt, the most doubtful first; a class of too few samples is neither doubted nor suggested.

    Args:
        probabilities: out-of-fold [N, K].
        odds: of the suggested label against the given one, at least.
        contents: the digest of each sample, of which equal ones count once; None: all differ.
    """
    truth = np.asarray(labels, np.int64)
    own = probabilities[np.arange(len(truth)), truth]
    sums = np.bincount(truth, own, probabilities.shape[1])
    counts = np.bincount(truth, minlength=probabilities.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    pairs = set(zip(truth.tolist(), contents or range(len(truth)), strict=True))
    known = np.bincount([label for label, _ in pairs], minlength=len(counts)) >= FEWEST
    passed = np.where((probabilities >= thresholds) & known, probabilities, -1.0)
    suggested = passed.argmax(1)
    confidence = passed.max(1)
    doubted = np.flatnonzero((suggested != truth) & (confidence >= odds * own) & known[truth])
    ranked = sorted(doubted.tolist(), key=lambda i: (own[i] - confidence[i], i))
    return [
        Suspect(sample=i, given=int(truth[i]), suggested=int(suggested[i]), confidence=float(confidence[i]))
        for i in ranked
    ]


def doubt_labels(
    index: DatasetIndex, features: Features, *, seed: int = 0, progress: Tick = silent
) -> tuple[list[Suspect], float]:
    """Suspects of a dataset, and the share of labels with which the classifier agrees.

    Args:
        features: [N, D] of the index's samples, in their order.
    """
    labels = [sample.label for sample in index.samples]
    contents = [sample.sha256 for sample in index.samples]
    probabilities = out_of_fold(features, labels, contents, seed=seed, progress=progress)
    agreement = float((probabilities.argmax(1) == np.asarray(labels)).mean())
    return suspects(probabilities, labels, least_odds(features, agreement), contents), agreement


def least_odds(features: Features, agreement: float) -> float:
    """What ``suspects`` asks for, given what the features are and the share of labels the classifier agrees with."""
    return ODDS_IN_DOUBT if isinstance(features, np.ndarray) and agreement < AGREEMENT else ODDS


def label_errors_by_words(index: DatasetIndex, progress: Tick = silent) -> list[DataFinding]:
    """What to say of the labels of texts when no network is chosen: TF-IDF stands in for its features.

    Raises:
        InputError: a dataset of pictures.
    """
    if index.noun != "text":
        raise InputError(
            "wrong labels of pictures are found by what a network sees of them",
            hint="name a recipe instead of the data: edgetune init DATA, then edgetune check --labels",
        )
    words = tfidf([sample.text or "" for sample in index.samples], len(index.labels))
    found, agreement = doubt_labels(index, words, progress=progress)
    return [*label_finding(index, found, agreement), *unjudged(index)]


def label_finding(index: DatasetIndex, found: Sequence[Suspect], agreement: float) -> list[DataFinding]:
    """The suspects as one finding; where there are none, how far that can be believed."""
    if not found:
        return [
            DataFinding(
                id="labels-judged",
                severity=INFO,
                count=0,
                problem="no label stands out, by a classifier that had not seen them; it agrees with "
                f"{agreement:.1%} of all, and the more, the more that says",
                examples=(),
                do="nothing",
            )
        ]
    examples = []
    for suspect in found:
        sample = index.samples[suspect.sample]
        said = f"{shortened(sample.text)} " if sample.text is not None else ""
        given, suggested = index.labels[suspect.given], index.labels[suspect.suggested]
        examples.append(
            f"{sample.path}: {said}is {quoted(given)}, rather {quoted(suggested)} ({suspect.confidence:.0%})"
        )
    return [
        DataFinding(
            id="label-error",
            severity=WARNING,
            count=len(found),
            problem=f"{counted(len(found), 'label')} of {len(index.samples):,} may be wrong, by a classifier that had "
            f"not seen them (it agrees with {agreement:.1%} of all)",
            examples=tuple(examples),
            do="look at them, and mend those that are wrong",
        )
    ]


def unjudged(index: DatasetIndex) -> list[DataFinding]:
    """Classes too small for their labels to be judged."""
    contents = {(sample.label, sample.sha256) for sample in index.samples}
    small = sorted(label for label, count in Counter(label for label, _ in contents).items() if count < FEWEST)
    if not small:
        return []
    return [
        DataFinding(
            id="labels-unjudged",
            severity=INFO,
            count=len(small),
            problem=f"{counted(len(small), 'class', 'classes')} with fewer than {FEWEST} different {index.noun}s, "
            "whose labels were not judged",
            examples=tuple(told_apart(index.labels[label]) for label in small),
            do="look at them yourself",
        )
    ]
