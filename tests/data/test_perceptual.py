"""Copies look alike, other pictures do not, and flat ones say nothing."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from edgetune.data.perceptual import difference_hash, look_alikes


def scene(seed, size=(160, 120)):
    """Smooth blobs, as photos have."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def distance(one, other):
    ((_, _, bits),) = look_alikes([difference_hash(one)], [difference_hash(other)], 256)
    return bits


@pytest.mark.parametrize("seed", range(5))
def test_copies_look_alike(seed):
    image = scene(seed)
    copies = [
        jpeg(image, 40),
        image.resize((80, 60)),
        image.resize((320, 240)),
        ImageEnhance.Brightness(image).enhance(0.8),
    ]
    assert all(distance(image, copy) <= 8 for copy in copies)


def test_other_pictures_do_not():
    hashes = [difference_hash(scene(seed)) for seed in range(60)]
    assert all(i == j for i, j, _ in look_alikes(hashes, hashes, 40))


def test_flat_pictures_are_left_out():
    flat = [difference_hash(Image.new("RGB", (30, 30), colour)) for colour in ("red", "blue")]
    assert look_alikes(flat, flat, 256) == []


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=12), st.integers(0, 256))
def test_distances_are_those_of_the_bits(values, within):
    hashes = [f"{value:064x}" for value in values]

    def ones(value):
        return value.bit_count()

    expected = {
        (i, j, ones(a ^ b))
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        if ones(a ^ b) <= within and all(26 <= ones(v) <= 230 for v in (a, b))
    }
    assert set(look_alikes(hashes, hashes, within)) == expected
