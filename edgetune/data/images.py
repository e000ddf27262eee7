"""Decoded images in memory, and batches of them for training and evaluation.

Evaluation runs the very code of the device (``edgetune_runtime.preprocessing``). Training order and
augmentation depend on (seed, epoch, sample) alone, so a run can start in the middle of an epoch and any
number of loader processes gives the same pixels.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_all_start_methods
from typing import Any

import numpy as np
import torch
from edgetune_runtime.errors import InputError
from edgetune_runtime.preprocessing import Preprocessing
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgetune.data.augmentation import AUGMENTATIONS, Augment
from edgetune.data.index import SPLITS, DatasetIndex, IndexedSample
from edgetune.data.mixing import Mix
from edgetune.data.share import WHOLE, Share
from edgetune.errors import DataError
from edgetune.hashing import digest_file

Pixels = NDArray[np.uint8]
CPU = torch.device("cpu")
Batch = tuple[Tensor, Tensor]
"""(images float32 [N, 3, H, W], labels int64 [N])"""


class DecodedImages:
    """RGB images with the short side as the preprocessing has it, decoded once and kept within a memory budget.

    One buffer holds what fits, training images first; the rest is decoded every time. It is filled lazily,
    and lies in anonymous shared memory: pages cost nothing until they are filled, and the loader processes
    that are forked later read and fill the same ones (unlike /dev/shm, no container limits it).
    """

    def __init__(self, index: DatasetIndex, preprocessing: Mapping[str, Any], *, cache_mb: int) -> None:
        self.index = index
        self.preprocessing = Preprocessing.from_dict(preprocessing)
        self._sizes = np.asarray([self._resized_bytes(sample) for sample in index.samples], dtype=np.int64)
        order = np.argsort([SPLITS.index(sample.split) for sample in index.samples], kind="stable")
        ends = np.cumsum(self._sizes[order])
        fitting = int(np.searchsorted(ends, cache_mb << 20, side="right"))
        self._starts = np.full(len(index.samples), -1, dtype=np.int64)  # -1: not kept
        self._starts[order[:fitting]] = (ends - self._sizes[order])[:fitting]
        self.kept_bytes = int(ends[fitting - 1]) if fitting else 0
        self._buffer = _shared(self.kept_bytes)
        self._shapes = _shared(8 * len(index.samples)).view(np.int32).reshape(-1, 2)  # [0, 0]: not decoded yet

    def __getitem__(self, number: int) -> Pixels:
        """uint8 [h, w, 3] of the sample ``number`` of the index; not to be written to.

        Raises:
            DataError: the file is gone, or is not the one that was checked.
        """
        start, size = int(self._starts[number]), int(self._sizes[number])
        height, width = self._shapes[number].tolist()
        if height:
            return self._buffer[start : start + size].reshape(height, width, 3)
        pixels = self._decode(self.index.samples[number])
        if pixels.size != size:
            raise DataError(f"{self.index.samples[number].path} has changed since it was checked", hint="build again")
        if start >= 0:
            self._buffer[start : start + size] = pixels.reshape(-1)
            self._shapes[number] = pixels.shape[:2]  # after the pixels: who sees the shape must find them there
        return pixels

    def numbers(self, split: str) -> NDArray[np.int64]:
        """Positions in the index of the samples of a split."""
        return np.asarray([i for i, s in enumerate(self.index.samples) if s.split == split], dtype=np.int64)

    def _decode(self, sample: IndexedSample) -> Pixels:
        path = self.index.root / sample.path
        try:
            if digest_file(path) != sample.sha256:
                raise DataError(f"{sample.path} has changed since it was checked", hint="build again")
            # A copy: Pillow's own memory is read-only, which torch does not like.
            return np.array(self.preprocessing.resized(path), dtype=np.uint8)
        except OSError as problem:
            raise DataError(f"{sample.path} cannot be read: {problem.strerror}", hint="build again") from problem
        except InputError as problem:
            raise DataError(str(problem), hint="it could be read when the dataset was checked") from problem

    def _resized_bytes(self, sample: IndexedSample) -> int:
        short, side = min(sample.size), int(self.preprocessing.short_side)
        return 3 * round(side * sample.size[0] / short) * round(side * sample.size[1] / short)


class TrainImages(Dataset[tuple[Tensor, int]]):
    """Augmented samples of one epoch: uint8 [3, S, S] and label."""

    def __init__(self, images: DecodedImages, augment: Augment, seed: int, epoch: int) -> None:
        self.images, self.augment, self.seed, self.epoch = images, augment, seed, epoch

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """The view of a sample that this epoch trains on.

        Where samples are drawn more than once in an epoch, ``number`` plus k times the number of samples is
        another view of sample ``number``.
        """
        sample = number % len(self.images.index.samples)
        pixels = torch.from_numpy(self.images[sample]).permute(2, 0, 1)
        with _one_thread(), torch.random.fork_rng(devices=[]):  # dropout's generator must not notice
            # Not torch.manual_seed: it would seed the GPU's generator too, which is not forked here.
            torch.default_generator.manual_seed(_mix(self.seed, self.epoch, number))
            return self.augment(pixels), self.images.index.samples[sample].label


def epoch_batches(numbers: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """A permutation of ``numbers`` in batches of nearly equal size: nothing is dropped, no batch is tiny."""
    order = np.random.default_rng([_positive(seed), epoch]).permutation(numbers)
    return np.array_split(order, batch_count(len(numbers), batch_size))


def balanced_draw(images: DecodedImages, seed: int, epoch: int) -> NDArray[np.int64]:
    """As many training samples as there are, drawn with replacement so that each class is as likely as any other.

    A sample's k-th repetition is its number plus k times the number of samples, which ``TrainImages`` takes as
    another view.
    """
    numbers = images.numbers("train")
    labels = np.asarray([images.index.samples[number].label for number in numbers])
    share = 1.0 / np.bincount(labels)[labels]
    rng = np.random.default_rng([_positive(seed), epoch, 1])
    drawn = np.sort(rng.choice(numbers, len(numbers), p=share / share.sum()))
    repetition = np.arange(len(drawn)) - np.searchsorted(drawn, drawn)
    result: NDArray[np.int64] = drawn + repetition * len(images.index.samples)
    return result


def batch_count(samples: int, batch_size: int) -> int:
    """Batches of one epoch; as many as leave each at least two samples, which batch norm needs."""
    return max(1, min(round(samples / batch_size), samples // 2))


def train_loader(
    images: DecodedImages,
    *,
    batch_size: int,
    augmentation: str,
    seed: int,
    epoch: int,
    start_batch: int,
    workers: int,
    balanced: bool = False,
    mix: Mix | None = None,
    share: Share = WHOLE,
    device: torch.device = CPU,
) -> Iterator[Batch]:
    """Augmented training batches of ``epoch``, from ``start_batch`` on; images are channels_last in memory.

    Args:
        balanced: draw every class equally often (``balanced_draw``).
        mix: mixes the images of a batch; the labels are then shares [N, K].
        share: our part of each batch. What is mixed is made whole by every process, and then cut.
        device: where the batches go, as bytes from pinned memory if it is a GPU; they are normalised and mixed there.
    """
    numbers = balanced_draw(images, seed, epoch) if balanced else images.numbers("train")
    batches = epoch_batches(numbers, batch_size, seed, epoch)[start_batch:]
    if mix is None:
        batches = [share.of_numbers(batch) for batch in batches]
    augment = AUGMENTATIONS[augmentation](images.preprocessing.height)
    forked = workers > 0 and "fork" in get_all_start_methods()  # forked workers share the cache
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        TrainImages(images, augment, seed, epoch),
        batch_sampler=[batch.tolist() for batch in batches],
        num_workers=workers,
        collate_fn=_collate,
        multiprocessing_context="fork" if forked else None,
        generator=torch.Generator(),  # or the loader would draw from the generator that dropout uses
        pin_memory=device.type == "cuda",
    )
    factor, offset = (part.to(device) for part in _factor_and_offset(images.preprocessing))
    for number, (pixels, labels) in enumerate(loader, start=start_batch):
        pixels, labels = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        inputs = _normalise(pixels, factor, offset)
        yield (inputs, labels) if mix is None else share.of_tensors(mix(inputs, labels, _mix(seed, epoch, number)))


def eval_loader(
    images: DecodedImages, split: str, *, batch_size: int, shuffle_seed: int | None = None, share: Share = WHOLE
) -> Iterator[Batch]:
    """Batches of a split exactly as the device preprocesses them; shuffled if a seed is given."""
    batches = pixel_loader(images, split, batch_size=batch_size, shuffle_seed=shuffle_seed, share=share)
    for pixels, labels in batches:
        yield torch.from_numpy(images.preprocessing.normalise(pixels.numpy())), labels


def pixel_loader(
    images: DecodedImages, split: str, *, batch_size: int, shuffle_seed: int | None = None, share: Share = WHOLE
) -> Iterator[Batch]:
    """The same before they are normalised: uint8 [N, H, W, 3]."""
    numbers = images.numbers(split)
    if shuffle_seed is not None:
        numbers = np.random.default_rng(_positive(shuffle_seed)).permutation(numbers)
    for start in share.of_batches(range(0, len(numbers), batch_size)):
        chosen: Sequence[int] = numbers[start : start + batch_size].tolist()
        pixels = np.stack([images.preprocessing.crop(images[number]) for number in chosen])
        labels = torch.tensor([images.index.samples[number].label for number in chosen])
        yield torch.from_numpy(pixels), labels


def _collate(samples: Sequence[tuple[Tensor, int]]) -> Batch:
    """(uint8 [N, 3, S, S], int64 [N])"""
    with _one_thread():
        return torch.stack([pixels for pixels, _ in samples]), torch.tensor([label for _, label in samples])


def _normalise(pixels: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """float32 [N, 3, H, W] in channels_last of uint8 [N, 3, H, W], as pixels * factor + offset (each [3]).

    Done on rows of W * 3 values: on a last axis of 3 the arithmetic would not be vectorised.
    """
    count, channels, height, width = pixels.shape
    with _one_thread():
        rows = pixels.permute(0, 2, 3, 1).reshape(count, height, width * channels).float()
        torch.addcmul(offset.repeat(width), rows, factor.repeat(width), out=rows)
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def _factor_and_offset(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Normalisation as x * factor + offset, each [3]."""
    description = preprocessing.to_dict()
    std = torch.tensor(description["std"])
    return description["scale"] / std, -torch.tensor(description["mean"]) / std


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: small images have no work for two, and on a busy machine they wait for each other.

    Measured on 2 cores beside other work: 0.16 ms to crop and resize an image, 12 ms with two threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _shared(size: int) -> Pixels:
    """``size`` zero bytes that forked processes share."""
    return np.frombuffer(mmap.mmap(-1, max(1, size)), dtype=np.uint8)[:size]


def _mix(seed: int, epoch: int, number: int) -> int:
    state = np.random.SeedSequence([_positive(seed), epoch, number]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _positive(seed: int) -> int:
    """``seed`` as NumPy takes it; torch takes negative ones too."""
    return seed % (1 << 64)
