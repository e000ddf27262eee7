"""Classification metrics from logits [N, K] and labels [N]. numpy only."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgetune.errors import MeasureError

ECE_BINS = 15


class Metrics(TypedDict):
    """The ``metrics`` of a candidate in report.json; all are fractions."""

    accuracy: float
    precision_macro: float
    recall_macro: float
    f1_macro: float
    ece: float


class ClassMetrics(TypedDict):
    """One class; ``support`` is its number of samples. None is what cannot be said.

    ``precision`` of a class that no sample is taken for, ``recall`` and ``f1`` of one that no sample is of, ``roc_auc``
    of one that all or no samples are of.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    support: int


def classification_metrics(logits: ArrayLike, labels: ArrayLike) -> Metrics:
    """Accuracy, macro precision, recall and F1, and the calibration error.

    Macro means are over the classes that occur among the labels or the predictions, and a quotient
    by zero counts as zero: scikit-learn's defaults.

    Raises:
        MeasureError: for shapes that do not fit, no samples, or logits that are not finite.
    """
    x, y = _checked(logits, labels)
    matrix = confusion_matrix(x, y)
    occurs = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    precision, recall, f1 = _precision_recall_f1(matrix)
    return Metrics(
        accuracy=float(np.trace(matrix) / matrix.sum()),
        precision_macro=float(precision[occurs].mean()),
        recall_macro=float(recall[occurs].mean()),
        f1_macro=float(f1[occurs].mean()),
        ece=expected_calibration_error(x, y),
    )


def per_class_metrics(logits: ArrayLike, labels: ArrayLike) -> list[ClassMetrics]:
    """Precision, recall, F1, area under the ROC curve and support of each of the K classes, in order."""
    matrix = confusion_matrix(logits, labels)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    columns = zip(*_precision_recall_f1(matrix), roc_auc(logits, labels), predicted, actual, strict=True)
    return [
        ClassMetrics(
            precision=float(p) if taken else None,
            recall=float(r) if support else None,
            f1=float(f) if support else None,
            roc_auc=area,
            support=int(support),
        )
        for p, r, f, area, taken, support in columns
    ]


def roc_auc(logits: ArrayLike, labels: ArrayLike) -> list[float | None]:
    """Area under the ROC curve of each class against all others, by its probability; None: nothing to tell apart.

    The probability that a sample of the class has the higher one, ties counting half: Mann and Whitney's U (Hanley &
    McNeil 1982).
    """
    x, y = _checked(logits, labels)
    return [_area(column, y == k) for k, column in enumerate(softmax(x).T)]


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    ours, others = int(positive.sum()), int((~positive).sum())
    if not ours or not others:
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - ours * (ours + 1) / 2) / (ours * others))


def confusion_matrix(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Counts [K, K]: rows are the true classes, columns the predicted ones."""
    x, y = _checked(logits, labels)
    k = x.shape[1]
    return np.bincount(y * k + x.argmax(axis=1), minlength=k * k).reshape(k, k).astype(np.int64)


def expected_calibration_error(logits: ArrayLike, labels: ArrayLike) -> float:
    """Gap between confidence and accuracy, averaged over 15 equal-width bins (Guo et al. 2017).

    Bins are (lower, upper] as in that paper ("On Calibration of Modern Neural Networks", eq. 3).
    """
    x, y = _checked(logits, labels)
    probabilities = softmax(x)
    confidence = probabilities.max(axis=1)
    correct = x.argmax(axis=1) == y
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / y.size)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities [N, K] of logits [N, K], without overflow."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def _precision_recall_f1(
    matrix: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    hits = np.diag(matrix).astype(np.float64)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(predicted + actual, 1)
    return precision, recall, f1


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not y.size or x.shape[1] < 1:
        raise MeasureError(
            f"logits {list(x.shape)} do not fit labels {list(y.shape)}", hint="expected [N, K] and [N] with N > 0"
        )
    if y.min() < 0 or y.max() >= x.shape[1]:
        raise MeasureError(
            f"labels run from {y.min()} to {y.max()} but the engine has {x.shape[1]} outputs",
            hint="the dataset's classes are not those the network was trained on",
        )
    if not np.all(np.isfinite(x)):
        bad = int(np.sum(~np.isfinite(x).all(axis=1)))
        raise MeasureError(f"{bad} of {y.size} outputs hold NaN or infinity", hint="the engine is numerically broken")
    return x, y
