"""The parts that processes take of a batch are together the batch itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.images import DecodedImages, eval_loader, train_loader
from edgetune.data.index import DatasetIndex, IndexedSample
from edgetune.data.mixing import make_mix
from edgetune.data.preprocessing import make_preprocessing, make_training_source
from edgetune.data.share import WHOLE, Share, first_samples
from edgetune.data.tokens import TokenizedTexts, eval_batches, train_batches
from edgetune.hashing import digest_file


@given(st.integers(1, 40), st.integers(1, 9))
def test_parts_are_nearly_equal_and_make_the_whole(samples, processes):
    numbers = np.arange(samples)
    parts = [Share(rank, processes).of_numbers(numbers) for rank in range(processes)]
    assert np.array_equal(np.concatenate(parts), numbers)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for rank, part in enumerate(parts):
        inputs, labels = Share(rank, processes).of_tensors((torch.arange(samples), torch.arange(samples)))
        assert inputs.tolist() == labels.tolist() == part.tolist()
    assert WHOLE.of_numbers(numbers) is not None and len(WHOLE.of_numbers(numbers)) == samples


@pytest.fixture
def index(shapes) -> DatasetIndex:
    kinds = ("blob", "cross", "stripes")
    samples = tuple(
        IndexedSample(
            path=path.relative_to(shapes).as_posix(), label=kinds.index(path.parent.name), split=path.parts[-3],
            sha256=digest_file(path), size=(40, 40),
        )
        for path in sorted(shapes.rglob("*.png"))
    )  # fmt: skip
    return DatasetIndex(root=shapes, labels=kinds, samples=samples, skipped=(), carved=())


def whole_and_parts(batches, processes=3):
    """[(whole batch, its parts joined)] of what ``batches(share)`` yields."""
    parts = [list(batches(Share(rank, processes))) for rank in range(processes)]
    for number, whole in enumerate(batches(WHOLE)):
        yield whole, [torch.cat([part[number][i] for part in parts]) for i in range(2)]


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"mix": make_mix(0.2, 1.0, 3)}])
def test_images_are_augmented_alike_in_any_process(index, options):
    images = DecodedImages(index, make_training_source(32), cache_mb=16)

    def batches(share):
        return train_loader(
            images,
            batch_size=13,
            augmentation="strong",
            seed=5,
            epoch=2,
            start_batch=1,
            workers=0,
            share=share,
            **options,
        )

    count = 0
    for whole, joined in whole_and_parts(batches):
        assert torch.equal(whole[0], joined[0]) and torch.equal(whole[1], joined[1])
        count += 1
    assert count == 5


def test_each_image_is_validated_in_one_process(index):
    images = DecodedImages(index, make_preprocessing(32), cache_mb=16)
    whole = torch.cat([labels for _, labels in eval_loader(images, "val", batch_size=5)])
    parts = [
        labels for rank in range(2) for _, labels in eval_loader(images, "val", batch_size=5, share=Share(rank, 2))
    ]
    assert len(whole) == 24 and torch.equal(torch.cat(parts).sort().values, whole.sort().values)


def test_texts_are_padded_as_the_whole_batch(index):
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, len(index.samples))
    ids = rng.integers(1, 50, lengths.sum()).astype(np.int32)
    texts = TokenizedTexts(index=index, ids=ids, ends=np.cumsum(lengths), pad_id=0)

    def batches(share):
        return train_batches(texts, batch_size=7, seed=1, epoch=3, start_batch=2, share=share)

    for whole, joined in whole_and_parts(batches):
        assert torch.equal(whole[0], joined[0]) and torch.equal(whole[1], joined[1])
    seen = [
        len(labels) for rank in range(2) for _, labels in eval_batches(texts, "val", batch_size=5, share=Share(rank, 2))
    ]
    assert sum(seen) == 24


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60))
def test_the_first_samples_are_as_many_as_were_asked_for(sizes, count):
    made = []

    def batches():
        for number, size in enumerate(sizes):
            made.append(number)
            yield torch.full((size, 2), number), torch.full((size,), number)

    found = list(first_samples(batches(), count))
    assert sum(len(labels) for _, labels in found) == min(count, sum(sizes))
    assert all(len(inputs) == len(labels) > 0 for inputs, labels in found)
    assert len(made) == len(found)  # no batch is decoded for nothing
