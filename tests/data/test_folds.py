"""Folds: copies stay together, classes are spread evenly, nothing is lost, and the test split is left alone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.folds import assign_folds, fold_index, folds_of
from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.errors import DataError

samples = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=80)  # (content, label)


@given(samples, st.integers(3, 7), st.integers(0, 5), st.randoms())
def test_copies_share_a_fold_and_the_order_does_not_matter(rows, count, seed, random):
    contents, labels = [f"c{content}" for content, _ in rows], [label for _, label in rows]
    folds = assign_folds(contents, labels, count, seed)
    assert len(folds) == len(rows) and set(folds) <= set(range(count))
    of = dict(zip(contents, folds, strict=True))
    assert all(of[content] == fold for content, fold in zip(contents, folds, strict=True))
    order = list(range(len(rows)))
    random.shuffle(order)
    again = assign_folds([contents[i] for i in order], [labels[i] for i in order], count, seed)
    assert again == tuple(folds[i] for i in order)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=90), st.integers(3, 7), st.integers(0, 5))
def test_without_copies_every_class_and_every_fold_is_as_even_as_can_be(labels, count, seed):
    folds = assign_folds([f"c{number}" for number in range(len(labels))], labels, count, seed)
    for kind in set(labels):
        sizes = Counter(fold for fold, label in zip(folds, labels, strict=True) if label == kind)
        assert max(sizes.values()) - min(sizes[number] for number in range(count)) <= 1
    sizes = Counter(folds)
    assert max(sizes.values()) - min(sizes[number] for number in range(count)) <= 1


@given(st.lists(st.integers(1, 6), min_size=3, max_size=40), st.integers(3, 6), st.integers(0, 5))
def test_with_copies_no_fold_is_further_off_than_the_most_copied_content(copies, count, seed):
    contents = [f"c{number}" for number, times in enumerate(copies) for _ in range(times)]
    sizes = Counter(assign_folds(contents, [0] * len(contents), count, seed))
    assert max(sizes.values()) - min(sizes[number] for number in range(count)) <= max(copies)
    assert len(copies) < count or len(sizes) == count


def test_another_seed_gives_other_folds():
    contents, labels = [f"c{number}" for number in range(60)], [0] * 60
    assert assign_folds(contents, labels, 5, 0) != assign_folds(contents, labels, 5, 1)


def index_of(rows, labels=("cat", "dog", "owl", "rat")):
    """An index of (content, label, split)."""
    return DatasetIndex(
        root=Path(),
        labels=labels,
        samples=tuple(
            IndexedSample(path=f"{number}.png", label=label, split=split, sha256=content)
            for number, (content, label, split) in enumerate(rows)
        ),
        skipped=(),
        carved=(),
    )


@given(
    st.lists(st.sampled_from(["train", "train", "val", "test"]), min_size=0, max_size=60),
    st.integers(3, 6),
    st.integers(0, 3),
)
def test_each_sample_is_held_out_once_and_judges_no_network_it_helped_to_make(splits, count, seed):
    rows = [(f"c{number // 2}", number // 2 % 4, "train") for number in range(8 * count)]  # enough of every class
    rows += [(f"d{number}", number % 4, split) for number, split in enumerate(splits)]
    index = index_of(rows)
    folds = folds_of(index, count, seed)
    held_out = Counter()
    for number in range(count):
        ours, kept = fold_index(index, folds, number, val_fraction=0.2, seed=seed)
        assert [index.samples[position].path for position in kept] == [sample.path for sample in ours.samples]
        assert {s.path for s in ours.samples} == {s.path for s in index.samples if s.split != "test"}
        contents = {split: {s.sha256 for s in ours.split(split)} for split in ("train", "val", "test")}
        assert not contents["test"] & (contents["train"] | contents["val"])
        assert not contents["val"] & contents["train"]
        assert all(ours.counts()[split][label] for split in ("train", "val", "test") for label in index.labels)
        held_out.update(sample.path for sample in ours.split("test"))
    assert held_out == {s.path: 1 for s in index.samples if s.split != "test"}


def test_classes_smaller_than_the_folds_are_named():
    rows = [(f"a{n}", 0, "train") for n in range(9)] + [(f"b{n}", 1, "val") for n in range(4)]
    rows += (
        [("c", 2, "train")] * 9 + [(f"d{n}", 3, "train") for n in range(5)] + [(f"t{n}", 1, "test") for n in range(9)]
    )
    with pytest.raises(DataError, match=r"5 different pictures .* too few of dog \(4\), owl \(1\)") as refused:
        folds_of(index_of(rows), 5, 0)
    assert "folds = 0" in refused.value.hint
    enough = [row for row in rows if row[1] != 2]
    with pytest.raises(DataError) as refused:
        folds_of(index_of([(c, min(k, 2), s) for c, k, s in enough], labels=("cat", "dog", "owl")), 5, 0)
    assert "folds = 4" in refused.value.hint
