"""Batches of tokenized texts: every sample once an epoch, little padding, the same order every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.data.tokens import eval_batches, load_tokens, save_tokens, train_batches

PAD = 0


def make(tmp_path, tokens, split="train"):
    samples = tuple(
        IndexedSample(path=f"t:{n}", label=n % 3, split=split, sha256=str(n), text="x") for n in range(len(tokens))
    )
    index = DatasetIndex(root=tmp_path, labels=("a", "b", "c"), samples=samples, skipped=(), carved=())
    save_tokens(tokens, tmp_path / "tokens.npz")
    return load_tokens(tmp_path / "tokens.npz", index, PAD)


token_lists = st.lists(st.lists(st.integers(1, 30_000), min_size=2, max_size=40), min_size=2, max_size=60)


@given(tokens=token_lists, batch_size=st.integers(2, 20), epoch=st.integers(0, 5), seed=st.integers(-3, 1 << 63))
def test_an_epoch_holds_every_sample_once_and_can_begin_anywhere(tmp_path, tokens, batch_size, epoch, seed):
    texts = make(tmp_path, tokens)
    order = {"batch_size": batch_size, "seed": seed, "epoch": epoch}
    batches = list(train_batches(texts, **order, start_batch=0))
    rows = [
        (ids[ids != PAD].tolist(), int(label))
        for batch, labels in batches
        for ids, label in zip(batch, labels, strict=True)
    ]
    assert sorted(rows) == sorted((ids, number % 3) for number, ids in enumerate(tokens))
    assert all(len(labels) >= 2 for _, labels in batches)
    later = list(train_batches(texts, **order, start_batch=1))
    assert all(bool((a[0] == b[0]).all()) for a, b in zip(batches[1:], later, strict=True))


@given(tokens=token_lists)
def test_saved_tokens_come_back_and_the_same_give_the_same_bytes(tmp_path, tokens):
    texts = make(tmp_path, tokens)
    assert [texts[number].tolist() for number in range(len(tokens))] == tokens
    before = (tmp_path / "tokens.npz").read_bytes()
    make(tmp_path, tokens)
    assert (tmp_path / "tokens.npz").read_bytes() == before


def test_batches_are_of_similar_length(tmp_path):
    rng = np.random.default_rng(0)
    tokens = [[1] * int(n) for n in rng.integers(2, 100, 2000)]
    texts = make(tmp_path, tokens)
    real = sum(map(len, tokens))
    padded = sum(b.numel() for b, _ in train_batches(texts, batch_size=16, seed=0, epoch=0, start_batch=0))
    assert padded < 1.1 * real  # in random batches it is 1.8 times
    epochs = [
        [b.shape for b, _ in train_batches(texts, batch_size=16, seed=0, epoch=epoch, start_batch=0)]
        for epoch in (0, 1)
    ]
    assert epochs[0] != epochs[1]


def test_balanced_draws_make_rare_classes_as_frequent(tmp_path):
    texts = make(tmp_path, [[1, 2]] * 300)
    samples = [
        IndexedSample(path=str(n), label=0 if n < 270 else 1 + n % 2, split="train", sha256=str(n), text="x")
        for n in range(300)
    ]
    texts = type(texts)(
        index=DatasetIndex(root=tmp_path, labels=("a", "b", "c"), samples=tuple(samples), skipped=(), carved=()),
        ids=texts.ids, ends=texts.ends, pad_id=PAD,
    )  # fmt: skip
    drawn = [
        int(label)
        for epoch in range(5)
        for _, labels in train_batches(texts, batch_size=10, seed=0, epoch=epoch, start_batch=0, balanced=True)
        for label in labels
    ]
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.05)


def test_evaluation_gives_each_sample_of_the_split_once(tmp_path):
    texts = make(tmp_path, [[1] * n for n in (5, 2, 9, 3, 7)], split="val")
    for seed in (None, 3):
        found = [ids for ids, _ in eval_batches(texts, "val", batch_size=2, shuffle_seed=seed)]
        assert sorted(int((row != PAD).sum()) for ids in found for row in ids) == [2, 3, 5, 7, 9]
    assert list(eval_batches(texts, "train", batch_size=2)) == []
