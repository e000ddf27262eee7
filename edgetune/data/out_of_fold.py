"""What a simple classifier says of each sample when it has not seen it: logistic regression in 5 folds."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import csr_array

from edgetune.progress import Tick, silent

FOLDS = 5
MOST_LEARNED = 20_000  # samples a fold learns from: what bounds the time of large datasets
ITERATIONS = 40
DENSE_PENALTY = 1e-2  # of half the squared weights beside the mean loss, on standardised features
SPARSE_PENALTY = 1e-4  # on rows of length 1

Features: TypeAlias = NDArray[np.float32] | csr_array


def out_of_fold(
    features: Features, labels: Sequence[int], contents: Sequence[str], *, seed: int = 0, progress: Tick = silent
) -> NDArray[np.float64]:
    """Probabilities [N, K] of each sample's classes, by a classifier that saw neither it nor a copy of it.

    With few samples and many dense features such a classifier is sure of its mistakes; so its probabilities are then
    calibrated by one temperature, fitted on these very samples, none of which had a part in its own logits (Guo et al.
    2017). On words, where the penalty keeps weights small, it is not sure of anything.

    Args:
        features: [N, D]; dense ones are standardised, sparse ones are taken as they are.
        contents: the digest of each sample; equal ones share a fold.
    """
    truth = np.asarray(labels, np.int64)
    fold = folds(truth.tolist(), contents, seed)
    logits = np.zeros((len(truth), int(truth.max()) + 1))
    for number in range(FOLDS):
        inside = np.flatnonzero(fold != number)
        if len(inside) > MOST_LEARNED:
            inside = np.sort(np.random.default_rng(seed + number).choice(inside, MOST_LEARNED, replace=False))
        left = np.flatnonzero(fold == number)
        learned, asked = _scaled(features, inside, left)
        weights, bias = _fit(learned, truth[inside], logits.shape[1])
        logits[left] = np.asarray(asked @ weights) + bias
        progress(number + 1, FOLDS, "folds")
    return softmax(logits if isinstance(features, csr_array) else logits / _temperature(logits, truth))


def folds(labels: Sequence[int], contents: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The fold of each sample: every class is spread evenly, copies stay together, the order does not matter."""
    of_class: dict[int, set[str]] = defaultdict(set)
    first: dict[str, int] = {}
    for label, content in zip(labels, contents, strict=True):
        of_class[first.setdefault(content, label)].add(content)
    fold: dict[str, int] = {}
    for label, members in of_class.items():
        ranked = sorted(members, key=lambda content: hashlib.sha256(f"{seed}:{content}".encode()).digest())
        fold |= {content: (position + label) % FOLDS for position, content in enumerate(ranked)}
    return np.array([fold[content] for content in contents], np.int64)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """What the logits are divided by for the least cross-entropy; never below 1, which would only make surer."""

    def loss(log_temperature: float) -> float:
        found = softmax(logits / np.exp(log_temperature))
        return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-300)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(0.0, np.log(100.0)), method="bounded").x))


def _scaled(features: Features, inside: NDArray[np.int64], left: NDArray[np.int64]) -> tuple[Any, Any]:
    if isinstance(features, csr_array):
        return features[inside], features[left]
    mean, std = features[inside].mean(0), features[inside].std(0)
    std = np.where(std > 1e-6, std, 1.0)  # a dead feature stays zero
    return (features[inside] - mean) / std, (features[left] - mean) / std  # float32: half the memory, twice the speed


def _fit(learned: Any, labels: NDArray[np.int64], classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [D, K] and biases [K] of multinomial logistic regression, by L-BFGS."""
    count, width = learned.shape
    penalty = SPARSE_PENALTY if isinstance(learned, csr_array) else DENSE_PENALTY
    wanted = np.zeros((count, classes))
    wanted[np.arange(count), labels] = 1
    turned = learned.T.tocsr() if isinstance(learned, csr_array) else learned.T

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[: width * classes].reshape(width, classes).astype(np.float32), flat[width * classes :]
        found = softmax(np.asarray(learned @ weights) + bias)
        error = (found - wanted) / count
        gradient = np.asarray(turned @ error.astype(np.float32)) + penalty * weights
        value = -np.log(np.maximum(found[np.arange(count), labels], 1e-300)).mean()
        return float(value + 0.5 * penalty * (weights**2).sum()), np.r_[gradient.ravel(), error.sum(0)]

    flat = minimize(
        loss, np.zeros((width + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    ).x
    return flat[: width * classes].reshape(width, classes), flat[width * classes :]
