"""A step's view of the dataset as batches; decoded pictures are cached and shared by the steps of a build."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from edgetune.data.images import CPU, DecodedImages, batch_count, eval_loader, train_loader
from edgetune.data.mixing import Mix
from edgetune.data.preprocessing import make_preprocessing, make_training_source
from edgetune.data.scan import data_root
from edgetune.data.share import WHOLE, Share, first_samples
from edgetune.models.checkpoint import NetworkSpec
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import read_index
from edgetune.steps.texts import TextExamples, make_text_examples

EVAL_BATCH = 32
FEW_BATCH = 8


@lru_cache(maxsize=1)
def _decoded(folder: Path, root: Path, image_size: int, cache_mb: int) -> tuple[DecodedImages, DecodedImages]:
    index, budget = read_index(folder, root), cache_mb // 2
    return (
        DecodedImages(index, make_training_source(image_size), cache_mb=budget),
        DecodedImages(index, make_preprocessing(image_size), cache_mb=budget),
    )


def decoded_images(context: StepContext, image_size: int) -> DecodedImages:
    """Decoded images as the device sees them; kept in the process as long as the dataset and size stay the same."""
    return _decoded(context.inputs["dataset"], data_root(context.data), image_size, context.cache_mb)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageExamples:
    """The training and validation splits as batches of (float32 [N, 3, H, W], int64 [N])."""

    training: DecodedImages  # larger, to cut random crops from
    images: DecodedImages  # as the device sees them
    batch_size: int
    augmentation: str
    seed: int
    workers: int
    balanced: bool = False  # every class as often as any other
    mix: Mix | None = None
    device: torch.device = CPU  # where training batches go
    share: Share = WHOLE  # our part, where several processes train together

    @property
    def samples(self) -> int:
        """Training samples."""
        return len(self.images.numbers("train"))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return batch_count(self.samples, self.batch_size)

    def shared(self, rank: int, processes: int) -> "ImageExamples":
        """Part ``rank`` of every training batch, and every ``processes``-th batch of validation."""
        return replace(self, share=Share(rank, processes))

    def train(self, epoch: int, start_batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented batches of ``epoch``, from ``start_batch`` on."""
        return train_loader(
            self.training,
            batch_size=self.batch_size,
            augmentation=self.augmentation,
            seed=self.seed,
            epoch=epoch,
            start_batch=start_batch,
            workers=self.workers,
            balanced=self.balanced,
            mix=self.mix,
            share=self.share,
            device=self.device,
        )

    def plain(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The training split as the device will see it, not augmented, each sample once."""
        return eval_loader(self.images, "train", batch_size=EVAL_BATCH)

    def validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The validation split as the device will see it."""
        return eval_loader(self.images, "val", batch_size=EVAL_BATCH, share=self.share)

    def few(self, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """So many samples of the validation split, or all if it has fewer, from all over it."""
        batches = eval_loader(self.images, "val", batch_size=min(samples, FEW_BATCH), shuffle_seed=self.seed)
        for images, labels in batches:
            if samples <= 0:
                return
            yield images[:samples], labels[:samples]
            samples -= len(labels)

    def calibration(self, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """``samples`` training images (or all), shuffled, as the device will see them: not augmented."""
        batches = eval_loader(self.images, "train", batch_size=EVAL_BATCH, shuffle_seed=self.seed)
        return first_samples(batches, samples)


Examples = ImageExamples | TextExamples


def make_examples(context: StepContext, spec: NetworkSpec, batch_size: int, augmentation: str) -> Examples:
    """The splits as ``spec``'s network takes them; texts are not augmented."""
    if spec.image_size is None:
        return make_text_examples(context, batch_size)
    return make_image_examples(context, spec.image_size, batch_size, augmentation)


def make_image_examples(context: StepContext, image_size: int, batch_size: int, augmentation: str) -> ImageExamples:
    """The splits as pictures; loader processes are used beside a GPU only, unless the recipe says so."""
    workers = context.workers
    if workers < 0:
        workers = min(8, torch.get_num_threads()) if torch.cuda.is_available() else 0
    training, images = _decoded(context.inputs["dataset"], data_root(context.data), image_size, context.cache_mb)
    return ImageExamples(
        training=training,
        images=images,
        batch_size=batch_size,
        augmentation=augmentation,
        seed=context.seed,
        workers=workers,
        device=torch.device("cuda") if torch.cuda.is_available() else CPU,
    )
