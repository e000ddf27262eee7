"""Decoded images in memory, and batches of them for training and evaluation.

Evaluation runs the very code of the device (``edgetune_runtime.preprocessing``). Training order and
augmentation depend on (seed, epoch, sample) alone, so a run can start in the middle of an epoch and any
number of loader processes gives the same pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from edgetune_runtime.preprocessing import Preprocessing
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgetune.data.augmentation import AUGMENTATIONS, Augment
from edgetune.data.index import DatasetIndex, IndexedSample

Pixels = NDArray[np.uint8]
Batch = tuple[Tensor, Tensor]
"""(images float32 [N, 3, H, W], labels int64 [N])"""


class DecodedImages:
    """RGB images with the short side as the preprocessing has it, decoded once and kept within a memory budget.

    One buffer holds what fits, in index order; the rest is decoded every time. Filled lazily; ``share``
    moves it to shared memory so that loader processes fill and read the same one.
    """

    def __init__(self, index: DatasetIndex, preprocessing: Mapping[str, Any], *, cache_mb: int) -> None:
        self.index = index
        self.preprocessing = Preprocessing.from_dict(preprocessing)
        sizes = [self._resized_bytes(sample) for sample in index.samples]
        ends = np.cumsum(sizes, dtype=np.int64)
        kept = int(np.searchsorted(ends, cache_mb << 20, side="right"))
        self._starts = ends - np.asarray(sizes, dtype=np.int64)
        self._buffer = torch.empty(int(ends[kept - 1]) if kept else 0, dtype=torch.uint8)
        self._shapes = torch.zeros((kept, 2), dtype=torch.int32)  # [0, 0]: not decoded yet

    def __getitem__(self, number: int) -> Pixels:
        """uint8 [h, w, 3] of the sample ``number`` of the index."""
        sample = self.index.samples[number]
        if number >= len(self._shapes):
            return self._decode(sample)
        height, width = self._shapes[number].tolist()
        start = int(self._starts[number])
        if height == 0:
            pixels = self._decode(sample)
            self._buffer[start : start + pixels.size] = torch.from_numpy(pixels.reshape(-1))
            # After the pixels: another process that sees the shape must find them there.
            self._shapes[number] = torch.tensor(pixels.shape[:2], dtype=torch.int32)
            return pixels
        flat: Pixels = self._buffer[start : start + height * width * 3].numpy()
        return flat.reshape(height, width, 3)

    def share(self) -> None:
        """Move the buffer to shared memory (once)."""
        if not self._buffer.is_shared():
            self._buffer.share_memory_()
            self._shapes.share_memory_()

    def numbers(self, split: str) -> NDArray[np.int64]:
        """Positions in the index of the samples of a split."""
        return np.asarray([i for i, s in enumerate(self.index.samples) if s.split == split], dtype=np.int64)

    def _decode(self, sample: IndexedSample) -> Pixels:
        # A copy: Pillow's own memory is read-only, which torch does not like.
        return np.array(self.preprocessing.resized(self.index.root / sample.path), dtype=np.uint8)

    def _resized_bytes(self, sample: IndexedSample) -> int:
        short, side = min(sample.size), int(self.preprocessing.short_side)
        return 3 * round(side * sample.size[0] / short) * round(side * sample.size[1] / short)


class TrainImages(Dataset[tuple[Tensor, int]]):
    """Augmented samples of one epoch: uint8 [3, S, S] and label."""

    def __init__(self, images: DecodedImages, augment: Augment, seed: int, epoch: int) -> None:
        self.images, self.augment, self.seed, self.epoch = images, augment, seed, epoch

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """The view of sample ``number`` that this epoch trains on."""
        pixels = torch.from_numpy(self.images[number]).permute(2, 0, 1)
        with torch.random.fork_rng(devices=[]):  # dropout's generator must not notice
            torch.manual_seed(_mix(self.seed, self.epoch, number))
            return self.augment(pixels), self.images.index.samples[number].label


def epoch_batches(numbers: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """A permutation of ``numbers`` in batches of nearly equal size: nothing is dropped, no batch is tiny."""
    order = np.random.default_rng([seed, epoch]).permutation(numbers)
    return np.array_split(order, batch_count(len(numbers), batch_size))


def batch_count(samples: int, batch_size: int) -> int:
    """Batches of one epoch."""
    return max(1, round(samples / batch_size))


def train_loader(
    images: DecodedImages, *, batch_size: int, augmentation: str, seed: int, epoch: int, start_batch: int, workers: int
) -> Iterator[Batch]:
    """Augmented training batches of ``epoch``, from ``start_batch`` on."""
    batches = epoch_batches(images.numbers("train"), batch_size, seed, epoch)[start_batch:]
    augment = AUGMENTATIONS[augmentation](images.preprocessing.height)
    if workers:
        images.share()
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        TrainImages(images, augment, seed, epoch),
        batch_sampler=[batch.tolist() for batch in batches],
        num_workers=workers,
        generator=torch.Generator(),  # or the loader would draw from the generator that dropout uses
        pin_memory=torch.cuda.is_available(),
    )
    factor, offset = _factor_and_offset(images.preprocessing)
    for pixels, labels in loader:
        yield torch.addcmul(offset, pixels.float(), factor).contiguous(memory_format=torch.channels_last), labels


def eval_loader(
    images: DecodedImages, split: str, *, batch_size: int, shuffle_seed: int | None = None
) -> Iterator[Batch]:
    """Batches of a split exactly as the device preprocesses them; shuffled if a seed is given."""
    numbers = images.numbers(split)
    if shuffle_seed is not None:
        numbers = np.random.default_rng(shuffle_seed).permutation(numbers)
    preprocessing = images.preprocessing
    for start in range(0, len(numbers), batch_size):
        chosen: Sequence[int] = numbers[start : start + batch_size].tolist()
        pixels = np.stack([preprocessing.crop(images[number]) for number in chosen])
        labels = torch.tensor([images.index.samples[number].label for number in chosen])
        yield torch.from_numpy(preprocessing.normalise(pixels)), labels


def _factor_and_offset(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Normalisation as x * factor + offset, each [1, 3, 1, 1]."""
    description = preprocessing.to_dict()
    std = torch.tensor(description["std"])
    factor, offset = description["scale"] / std, -torch.tensor(description["mean"]) / std
    return factor.view(1, 3, 1, 1), offset.view(1, 3, 1, 1)


def _mix(seed: int, epoch: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
