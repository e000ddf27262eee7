"""Preprocessing in C++ gives the floats that numpy and Pillow 13 give, all of them."""

import numpy as np
import PIL
import pytest
from edgetune_runtime import Preprocessing
from hypothesis import given
from hypothesis import strategies as st

ODD = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


# Before 13, Pillow resized columns first always; tall pictures that shrink then differ in the last bit of some bytes
LEVELS = 0 if int(PIL.__version__.split(".")[0]) >= 13 else 1


def assert_same(found, expected, description):
    """Equal; with an older Pillow, to one level of 255."""
    level = description["scale"] / min(description["std"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=LEVELS * level * 1.001)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    short=st.integers(8, 40),
    crop=st.tuples(st.integers(1, 8), st.integers(1, 8)),
)
def test_no_value_differs(built, preprocessing, run_parts, width, height, short, crop):
    description = preprocessing | ODD | {"resize_short_side": short, "crop": list(crop)}
    image = noise(height, width, width)
    expected = Preprocessing(description)(image)
    assert_same(run_parts(description, image), expected, description)


@pytest.mark.parametrize(
    ("width", "height"), [(320, 240), (240, 320), (224, 224), (256, 256), (1920, 1080), (300, 900), (37, 911)]
)
def test_no_value_differs_at_the_sizes_of_cameras(preprocessing, run_parts, width, height):
    description = preprocessing | ODD | {"resize_short_side": 256, "crop": [224, 224]}
    image = noise(height, width)
    expected = Preprocessing(description)(image)
    assert_same(run_parts(description, image), expected, description)
    smooth = np.linspace(0, 255, image.size).astype(np.uint8).reshape(image.shape)
    assert_same(run_parts(description, smooth), Preprocessing(description)(smooth), description)


def test_rows_may_lie_apart(bundle, open_engine):
    wide, engine = noise(30, 50), open_engine(bundle)
    part = wide[:, :20]
    found = engine.preprocess(part, stride=wide.strides[0])
    np.testing.assert_array_equal(found, engine.preprocess(np.ascontiguousarray(part)))


def test_what_is_no_picture_is_refused(bundle, open_engine, library, failed):
    engine = open_engine(bundle)
    pixels, values = noise(1, 1), np.empty(3 * 64, dtype=np.float32)
    big = 2**63
    for width, height, stride, room, message in [
        (0, 1, 0, 192, "empty"),
        (1, 0, 0, 192, "empty"),
        (1, 20_000_000, 0, 192, "too long and thin"),
        (20_000_000, 1, 0, 192, "too long and thin"),
        (big, 1, 0, 192, "too large"),
        (big, big, 0, 192, "too large"),
        (2, 1, 5, 192, "stride"),
        (1, 1, 0, 191, "room for 191 values"),
    ]:
        code = library.edgetune_preprocess(
            engine.handle, pixels.ctypes.data, width, height, stride, values.ctypes.data, room
        )
        assert code == 2 and message in library.edgetune_last_error().decode(), (width, height)
    assert library.edgetune_preprocess(engine.handle, None, 1, 1, 0, values.ctypes.data, 192) == 2
