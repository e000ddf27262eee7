"""Loading: what the device sees, the same order and pixels whoever loads them, and a bounded cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from edgetune_runtime.preprocessing import Preprocessing
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.check import check_image
from edgetune.data.images import DecodedImages, balanced_draw, batch_count, epoch_batches, eval_loader, train_loader
from edgetune.data.index import build_index
from edgetune.data.mixing import make_mix
from edgetune.data.preprocessing import make_preprocessing
from edgetune.errors import DataError


@pytest.fixture
def images(shapes):
    index = build_index(shapes, val_fraction=0.2, test_fraction=0.2, on_bad_file="error", seed=0)
    return DecodedImages(index, make_preprocessing(32), cache_mb=100)


def load(images, **changes):
    options = {"batch_size": 10, "augmentation": "standard", "seed": 1, "epoch": 2, "start_batch": 0, "workers": 0}
    return list(train_loader(images, **(options | changes)))


def equal(one, two):
    return len(one) == len(two) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True)
    )


def test_evaluation_is_what_the_device_computes_to_the_bit(images):
    preprocessing = Preprocessing.from_dict(make_preprocessing(32))
    root = images.index.root
    expected = np.concatenate([preprocessing(root / sample.path) for sample in images.index.split("test")])
    for _ in range(2):  # decoded, then from the cache
        found = torch.cat([batch for batch, _ in eval_loader(images, "test", batch_size=7)]).numpy()
        assert np.array_equal(found, expected)


def test_training_batches_depend_on_seed_and_epoch_alone(images):
    first = load(images)
    torch.manual_seed(99)
    assert equal(first, load(images))
    assert equal(first[3:], load(images, start_batch=3))
    assert not equal(first, load(images, epoch=3))
    assert not equal(first, load(images, seed=2))
    assert first[0][0].shape[1:] == (3, 32, 32) and first[0][0].dtype == torch.float32
    assert first[0][0].is_contiguous(memory_format=torch.channels_last) and first[0][1].dtype == torch.int64


def test_mixed_batches_depend_on_seed_and_epoch_alone(images):
    mix = make_mix(0.4, 1.0, 3)
    first = load(images, mix=mix)
    torch.manual_seed(99)
    assert equal(first, load(images, mix=mix)) and equal(first[3:], load(images, mix=mix, start_batch=3))
    assert equal(first, load(images, mix=mix, workers=2)) and not equal(first, load(images))
    assert first[0][0].is_contiguous(memory_format=torch.channels_last) and first[0][1].shape[1:] == (3,)


def test_a_balanced_epoch_draws_rare_classes_as_often_and_with_a_view_of_their_own(images):
    rare = [
        s for s in images.index.samples if s.split != "train" or s.label != 0 or s.path.endswith(("0.png", "1.png"))
    ]
    few = DecodedImages(replace(images.index, samples=tuple(rare)), make_preprocessing(32), cache_mb=100)
    drawn = np.concatenate([balanced_draw(few, seed=1, epoch=epoch) for epoch in range(30)]) % len(rare)
    shares = np.bincount([rare[number].label for number in drawn]) / len(drawn)
    assert np.abs(shares - 1 / 3).max() < 0.05 and {rare[number].split for number in drawn} == {"train"}
    batches = load(few, balanced=True)
    assert equal(batches, load(few, balanced=True, workers=2)) and equal(
        batches[2:], load(few, balanced=True, start_batch=2)
    )
    assert sum(len(labels) for _, labels in batches) == len(few.numbers("train"))
    views = torch.cat([pixels[labels == 0] for pixels, labels in batches])
    assert len(torch.unique(views.flatten(1), dim=0)) == len(views) > 6  # of at most 6 images


def test_loader_processes_give_the_same_pixels(images):
    assert equal(load(images), load(images, workers=2))


def test_loading_leaves_torchs_generator_alone(images):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load(images)
    assert torch.equal(before, torch.get_rng_state())


def test_loading_leaves_the_gpus_generator_alone(images, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    load(images)
    assert not seeded
    torch.manual_seed(5)
    assert seeded == [5]  # torch.manual_seed would have done it


def test_the_cache_keeps_to_its_budget_and_changes_nothing(images):
    small = DecodedImages(images.index, make_preprocessing(32), cache_mb=0)
    assert small.kept_bytes == 0
    assert equal(load(images), load(small))


def test_a_small_budget_keeps_training_images_first(images):
    root, index = images.index.root, images.index
    small = DecodedImages(index, make_preprocessing(160), cache_mb=5)
    assert 4 << 20 < small.kept_bytes <= 5 << 20
    first = [small[number].copy() for number in range(len(index.samples))]
    for sample in index.samples:
        (root / sample.path).unlink()
    kept = 0
    for number, sample in enumerate(index.samples):
        try:
            assert np.array_equal(small[number], first[number])
        except DataError:
            continue
        assert sample.split == "train"
        kept += first[number].size
    assert kept == small.kept_bytes


def test_what_loader_processes_decode_is_kept_for_all(images):
    first = load(images, workers=2)
    for sample in images.index.split("train"):
        (images.index.root / sample.path).unlink()
    assert equal(first, load(images))
    assert equal(first[2:], load(images, workers=1, start_batch=2))


def test_files_that_changed_or_went_since_they_were_checked(images):
    from PIL import Image

    gone, changed = (images.index.root / sample.path for sample in images.index.samples[:2])
    gone.unlink()
    Image.new("RGB", (60, 20)).save(changed)
    same_size = images.index.root / images.index.samples[2].path
    same_size.write_bytes((images.index.root / images.index.samples[5].path).read_bytes())  # other pixels only
    with pytest.raises(DataError, match="cannot be read: No such file"):
        images[0]
    with pytest.raises(DataError, match="has changed since it was checked"):
        images[2]
    with pytest.raises(DataError, match="has changed since it was checked"):
        images[1]
    assert images[3].shape == (32, 32, 3)


def test_loading_leaves_torchs_threads_alone(images):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        load(images)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_negative_seeds_are_seeds_too(images):
    assert equal(load(images, seed=-1), load(images, seed=-1))
    assert not equal(load(images, seed=-1), load(images, seed=1))


def test_unaugmented_training_images_are_the_evaluations(images):
    batches = load(images, augmentation="none", batch_size=1000)
    by_label = {int(label): image for image, label in zip(*batches[0], strict=True)}
    evaluated = torch.cat([batch for batch, _ in eval_loader(images, "train", batch_size=50)])
    for image in by_label.values():
        assert (evaluated - image).abs().flatten(1).amax(1).min() < 1e-5


def test_odd_sizes_and_rotated_photos(tmp_path, images):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.fromarray(np.arange(90 * 37 * 3, dtype=np.uint8).reshape(37, 90, 3)).save(tmp_path / "r.jpg", exif=exif)
    facts = check_image(tmp_path, "r.jpg")
    sample = replace(images.index.samples[0], path="r.jpg", size=facts.size, sha256=facts.sha256)
    index = replace(images.index, root=tmp_path, samples=(sample,))
    rotated = DecodedImages(index, make_preprocessing(32), cache_mb=1)
    first = rotated[0].copy()
    assert first.shape[0] > first.shape[1] and min(first.shape[:2]) == 32
    assert np.array_equal(rotated[0], first)


@given(st.integers(1, 500), st.integers(2, 64), st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_is_a_permutation_in_batches_of_nearly_one_size(samples, batch_size, seed, epoch):
    batches = epoch_batches(np.arange(samples), batch_size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(samples))
    sizes = {len(batch) for batch in batches}
    assert max(sizes) - min(sizes) <= 1 and len(batches) == batch_count(samples, batch_size)
    assert min(sizes) >= min(2, samples)  # batch norm cannot learn from one
    assert max(sizes) <= 2 * batch_size
