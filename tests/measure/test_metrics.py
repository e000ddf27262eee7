"""Metrics against scikit-learn, and the calibration error against its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from edgetune.errors import MeasureError
from edgetune.measure import metrics as m


@st.composite
def outputs(draw):
    n, k = draw(st.integers(1, 60)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, draw(st.integers(1, k)), n)  # some classes may have no samples
    return rng.normal(0, draw(st.sampled_from([0.1, 1, 10])), (n, k)), labels


@settings(deadline=None)
@given(outputs())
def test_metrics_are_scikit_learns(output):
    logits, labels = output
    predicted = logits.argmax(axis=1)
    ours = m.classification_metrics(logits, labels)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert ours["precision_macro"] == pytest.approx(precision)
    assert ours["recall_macro"] == pytest.approx(recall)
    assert ours["f1_macro"] == pytest.approx(f1)


@settings(deadline=None)
@given(outputs())
def test_classes_and_confusion_are_scikit_learns(output):
    logits, labels = output
    predicted, classes = logits.argmax(axis=1), range(logits.shape[1])
    assert np.array_equal(m.confusion_matrix(logits, labels), sk.confusion_matrix(labels, predicted, labels=classes))
    expected = sk.precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    for row, p, r, f, n in zip(m.per_class_metrics(logits, labels), *expected, strict=True):
        assert (row["precision"] or 0, row["recall"] or 0, row["f1"] or 0, row["support"]) == pytest.approx(
            (p, r, f, n)
        )


def test_what_a_class_without_samples_or_answers_cannot_say_is_none():
    logits = np.eye(4)[[0, 0, 1, 1]]  # 0 and 1 are answered, 1 and 3 never are the truth
    rows = m.per_class_metrics(logits, [0, 2, 0, 0])
    assert [row["precision"] for row in rows] == [0.5, 0, None, None]
    assert [row["recall"] for row in rows] == [pytest.approx(1 / 3), None, 0, None]
    assert [row["f1"] for row in rows] == [pytest.approx(0.4), None, 0, None]
    assert m.classification_metrics(logits, [0, 2, 0, 0])["recall_macro"] == pytest.approx(1 / 9)


@settings(deadline=None)
@given(outputs(), st.booleans())
def test_areas_under_curves_are_scikit_learns(output, rough):
    logits, labels = output
    if rough:  # with ties
        logits = np.round(logits)
    scores = m.softmax(np.asarray(logits, float))
    for k, area in enumerate(m.roc_auc(logits, labels)):
        of_class = np.asarray(labels) == k
        if of_class.all() or not of_class.any():
            assert area is None
        else:
            assert area == pytest.approx(sk.roc_auc_score(of_class, scores[:, k]))


@given(outputs())
def test_ece_is_its_definition(output):
    logits, labels = output
    probabilities = m.softmax(np.asarray(logits))
    assert probabilities.sum(axis=1) == pytest.approx(1)
    confidence, correct = probabilities.max(axis=1), logits.argmax(axis=1) == labels
    expected = 0.0
    edges = np.linspace(0, 1, 16)
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert m.expected_calibration_error(logits, labels) == pytest.approx(expected, abs=1e-9)


def test_ece_of_a_sure_network_that_is_half_wrong():
    logits = np.array([[1000.0, 0.0]] * 10)  # softmax must not overflow
    assert m.expected_calibration_error(logits, [0, 1] * 5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0], "do not fit"),
        (np.zeros((0, 3)), [], "do not fit"),
        (np.zeros((2, 3)), [0, 3], "3 outputs"),
        (np.array([[0.0, np.nan], [0.0, 1.0]]), [0, 1], "1 of 2 outputs"),
    ],
)
def test_broken_outputs_are_refused(logits, labels, message):
    with pytest.raises(MeasureError, match=message):
        m.classification_metrics(logits, labels)
