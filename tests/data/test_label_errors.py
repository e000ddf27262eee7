"""Planted wrong labels are found among real digits and made texts; clean labels are left alone."""

import csv
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from small_text import write_texts

from edgetune.data.index import build_index
from edgetune.data.label_errors import AGREEMENT, doubt_labels, label_errors_by_words, least_odds, suspects
from edgetune.data.out_of_fold import FOLDS, folds, out_of_fold
from edgetune.data.tfidf import tfidf
from edgetune.errors import InputError


def digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data.astype(np.float32), bunch.target.astype(int)


def flipped(labels, share, seed=0):
    """Labels of which ``share`` are wrong, and which ones."""
    rng, wrong = np.random.default_rng(seed), labels.copy()
    chosen = rng.choice(len(labels), int(share * len(labels)), replace=False)
    wrong[chosen] = (wrong[chosen] + rng.integers(1, labels.max() + 1, len(chosen))) % (labels.max() + 1)
    return wrong, set(chosen.tolist())


def listed(features, labels):
    probabilities = out_of_fold(features, labels.tolist(), [str(i) for i in range(len(labels))])
    return probabilities, suspects(probabilities, labels.tolist())


def test_wrong_labels_of_real_digits_are_found():
    """3 % planted: 0.93 of the list are planted ones, and 0.75 of those are in it."""
    pixels, truth = digits()
    labels, planted = flipped(truth, 0.03)
    probabilities, found = listed(pixels, labels)
    hits = {suspect.sample for suspect in found} & planted
    assert len(hits) / len(found) >= 0.9 and len(hits) / len(planted) >= 0.7
    right = sum(suspect.suggested == truth[suspect.sample] for suspect in found)
    assert right / len(found) >= 0.9
    assert probabilities.sum(1) == pytest.approx(1)


def test_clean_digits_have_few_suspects():
    pixels, truth = digits()
    assert len(listed(pixels, truth)[1]) <= 5  # of 1,797


def test_labels_that_nothing_predicts_are_not_doubted():
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(600, 20)).astype(np.float32), rng.integers(0, 3, 600)
    assert len(listed(noise, labels)[1]) <= 6  # 1 %, where two thirds are misclassified


def wrong_texts(folder, share):
    """Split files of texts with some labels changed; returns the places of those."""
    write_texts(folder, splits={"train": 150, "val": 20, "test": 20})
    rng, planted, labels = random.Random(0), set(), ("food", "money", "weather")
    for file in sorted(folder.glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
        for line, row in enumerate(rows[1:], start=2):
            if rng.random() < share:
                row[1] = rng.choice([label for label in labels if label != row[1]])
                planted.add(f"{file.name}:{line}")
        with file.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows(rows)
    return planted


def index_of(path):
    return build_index(path, val_fraction=0.2, test_fraction=0.2, on_bad_file="skip", seed=0)


def test_few_samples_with_many_features_raise_few_doubts():
    """Twenty-four of each of ten classes that overlap: the classifier is often wrong, the labels are not."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(10), 24)
    seen = (rng.normal(size=(10, 64))[truth] * 0.5 + rng.normal(size=(240, 64))).astype(np.float32).clip(0) ** 2
    probabilities = out_of_fold(seen, truth.tolist(), [str(i) for i in range(240)])
    agreement = float((probabilities.argmax(1) == truth).mean())
    assert 0.5 < agreement < AGREEMENT
    assert len(suspects(probabilities, truth.tolist())) > 10
    assert len(suspects(probabilities, truth.tolist(), least_odds(seen, agreement))) <= 3


def test_wrong_labels_of_texts_are_found_by_their_words(tmp_path):
    planted = wrong_texts(tmp_path, 0.05)
    (finding,) = label_errors_by_words(index_of(tmp_path))
    places = {example.rpartition(': "')[0].split(": ")[0] for example in finding.examples}
    assert finding.severity == "warning" and finding.count == len(finding.examples)
    assert len(places & planted) / len(places) >= 0.9 and len(places & planted) / len(planted) >= 0.8
    assert "rather" in finding.examples[0] and "agrees with" in finding.problem


def test_clean_texts_raise_no_doubt(tmp_path):
    wrong_texts(tmp_path, 0)
    (finding,) = label_errors_by_words(index_of(tmp_path))
    assert (
        finding.id == "labels-judged" and finding.severity == "info" and "agrees with 100.0% of all" in finding.problem
    )


def test_pictures_need_a_network(shapes):
    with pytest.raises(InputError, match="what a network sees"):
        label_errors_by_words(index_of(shapes))


def test_classes_too_small_to_judge_are_named_and_do_no_harm(tmp_path):
    rows = [(f"a{i} apple pear", "fruit") for i in range(30)] + [(f"b{i} rain snow", "weather") for i in range(30)]
    rows += [("a lonely text", "lonely")]
    split = [("test", "val", "train", "train")[i % 4] for i in range(60)] + ["train"]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        lines = [(text, label, part) for (text, label), part in zip(rows, split, strict=True)]
        csv.writer(file).writerows([("text", "label", "split"), *lines])
    judged, finding = label_errors_by_words(index_of(tmp_path / "t.csv"))
    assert judged.id == "labels-judged" and finding.id == "labels-unjudged" and finding.examples == ("lonely",)


def test_a_class_that_is_not_judged_is_not_suggested_either():
    """Class 2 is of few samples: one, or five copies of one. A sample of class 0 looks like it, then like class 1."""
    labels = [0] * 10 + [1] * 10 + [2] * 5
    probabilities = np.full((25, 3), 0.02)
    probabilities[np.arange(25), labels] = 0.96
    probabilities[10:20] = (0.2, 0.6, 0.2)
    probabilities[0] = (0.001, 0.019, 0.98)
    probabilities[20] = (0.02, 0.02, 0.96)
    copies = [*map(str, range(20)), *["same"] * 5]
    assert [one.suggested for one in suspects(probabilities, labels)] == [2]
    assert suspects(probabilities, labels, contents=copies) == []
    assert suspects(probabilities[:21], labels[:21]) == []
    probabilities[0] = (0.001, 0.65, 0.349)
    assert [(one.sample, one.suggested) for one in suspects(probabilities, labels, contents=copies)] == [(0, 1)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_copies_share_a_fold_and_the_order_does_not_matter(samples, seed, rng):
    labels, contents = [label for label, _ in samples], [str(content) for _, content in samples]
    made = folds(labels, contents, seed)
    assert len({(content, int(fold)) for content, fold in zip(contents, made, strict=True)}) == len(set(contents))
    alone = [(label, f"{label}-{number}") for number, (label, _) in enumerate(samples)]
    spread = folds([label for label, _ in alone], [content for _, content in alone], seed)
    for label in set(labels):
        sizes = np.bincount(spread[[own == label for own, _ in alone]], minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1
    shuffled = rng.sample(alone, len(alone))
    again = dict(zip((content for _, content in shuffled), folds(*zip(*shuffled, strict=True), seed), strict=True))
    assert [again[content] for _, content in alone] == spread.tolist()


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_any_texts_have_rows_of_length_one_or_none(texts):
    made = tfidf(texts, 3)
    lengths = np.sqrt(np.asarray(csr_array(made.multiply(made)).sum(1)).ravel())
    assert all(length == pytest.approx(1, abs=1e-4) or length == 0 for length in lengths)


def test_copies_of_a_wrong_label_do_not_confirm_each_other(tmp_path):
    wrong_texts(tmp_path, 0)
    with (tmp_path / "train.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("soup with bread and salt for dinner", "weather")] * 4)
    index = index_of(tmp_path)
    found, _ = doubt_labels(index, tfidf([sample.text for sample in index.samples], 3))
    assert {index.samples[s.sample].text for s in found} == {"soup with bread and salt for dinner"}
