"""Tokenized texts on disk and as batches of similar length, so that little is padded.

Training order depends on (seed, epoch) alone, as that of images does.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgetune.data.index import DatasetIndex
from edgetune.data.share import WHOLE, Share

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
BUCKET_BATCHES = 32  # batches whose texts are sorted by length together; more pad less and mix less
Batch = tuple[Tensor, Tensor]
"""(token ids int64 [N, L], labels int64 [N])"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedTexts:
    """The token ids of every sample of ``index``, in its order."""

    index: DatasetIndex
    ids: NDArray[np.int32]  # of all texts, one after the other
    ends: NDArray[np.int64]  # where each ends
    pad_id: int

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        """Token ids [L] of the sample ``number``."""
        start = int(self.ends[number - 1]) if number else 0
        return self.ids[start : int(self.ends[number])]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample."""
        return np.diff(self.ends, prepend=0)

    def numbers(self, split: str) -> NDArray[np.int64]:
        """Positions in the index of the samples of a split."""
        return np.asarray([i for i, s in enumerate(self.index.samples) if s.split == split], dtype=np.int64)

    def batch(self, numbers: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The samples ``numbers``, padded to the longest of them."""
        chosen = [self[int(number)] for number in numbers]
        ids = np.full((len(chosen), max(map(len, chosen))), self.pad_id, dtype=np.int64)
        for row, tokens in zip(ids, chosen, strict=True):
            row[: len(tokens)] = tokens
        labels = torch.tensor([self.index.samples[int(number)].label for number in numbers])
        return torch.from_numpy(ids), labels


def save_tokens(tokens: Sequence[Sequence[int]], path: Path) -> None:
    """Write token ids as ``.npz``; the same ids give the same bytes."""
    lengths = np.asarray([len(ids) for ids in tokens], dtype=np.int64)
    flat = np.asarray([token for ids in tokens for token in ids], dtype=np.int32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in (("ids", flat), ("ends", np.cumsum(lengths))):
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH), "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def load_tokens(path: Path, index: DatasetIndex, pad_id: int) -> TokenizedTexts:
    """What ``save_tokens`` wrote for the samples of ``index``."""
    with np.load(path, allow_pickle=False) as arrays:
        return TokenizedTexts(index=index, ids=arrays["ids"], ends=arrays["ends"], pad_id=pad_id)


def batch_count(samples: int, batch_size: int) -> int:
    """Batches of one epoch, none of fewer than two samples."""
    return max(1, min(round(samples / batch_size), samples // 2))


def train_batches(
    texts: TokenizedTexts,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start_batch: int,
    balanced: bool = False,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """Training batches of ``epoch``, from ``start_batch`` on.

    Texts are shuffled, sorted by length within stretches of ``BUCKET_BATCHES`` batches, cut, and the batches
    shuffled again.

    Args:
        balanced: draw every class equally often, with replacement.
        share: our part of each batch, padded as the whole.
    """
    numbers = texts.numbers("train")
    rng = np.random.default_rng([seed % (1 << 64), epoch])
    order = _balanced(texts, numbers, rng) if balanced else rng.permutation(numbers)
    count = batch_count(len(order), batch_size)
    lengths = texts.lengths
    sorted_parts = [
        part[np.argsort(lengths[part], kind="stable")] for part in np.array_split(order, -(-count // BUCKET_BATCHES))
    ]
    batches = np.array_split(np.concatenate(sorted_parts), count)
    for position in rng.permutation(count)[start_batch:]:
        yield share.of_tensors(texts.batch(batches[position]))


def eval_batches(
    texts: TokenizedTexts, split: str, *, batch_size: int, shuffle_seed: int | None = None, share: Share = WHOLE
) -> Iterator[Batch]:
    """Batches of a split: shuffled if a seed is given, else sorted by length."""
    numbers = texts.numbers(split)
    if shuffle_seed is None:
        numbers = numbers[np.argsort(texts.lengths[numbers], kind="stable")]
    else:
        numbers = np.random.default_rng(shuffle_seed % (1 << 64)).permutation(numbers)
    for start in share.of_batches(range(0, len(numbers), batch_size)):
        yield texts.batch(numbers[start : start + batch_size])


def _balanced(texts: TokenizedTexts, numbers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    labels = np.asarray([texts.index.samples[int(number)].label for number in numbers])
    share = 1.0 / np.bincount(labels)[labels]
    drawn: NDArray[np.int64] = rng.choice(numbers, len(numbers), p=share / share.sum())
    return drawn
