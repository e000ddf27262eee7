"""From pictures of every kind to the network's input."""

import numpy as np
import pytest
from edgetune_runtime import BundleError, InputError, Preprocessing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

DESCRIPTION = {
    "kind": "image",
    "color": "RGB",
    "resize_short_side": 12,
    "interpolation": "bilinear",
    "crop": [10, 9],
    "scale": 1 / 255,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "layout": "NCHW",
}


FOR_PIXELS = {key: value for key, value in DESCRIPTION.items() if key not in ("scale", "mean", "std")}
FOR_PIXELS["layout"] = "NHWC"


@pytest.fixture
def steps():
    return Preprocessing.from_dict(DESCRIPTION)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 5))
def test_pixels_are_a_centre_crop_of_pillows_resize(width, height, seed):
    array = noise(height, width, seed)
    pixels = Preprocessing.from_dict(DESCRIPTION).pixels(array)
    short = min(width, height)
    size = (12, round(12 * height / short)) if width <= height else (round(12 * width / short), 12)
    left, top = (size[0] - 9) // 2, (size[1] - 10) // 2
    expected = Image.fromarray(array).resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 9, top + 10))
    assert pixels.dtype == np.uint8 and pixels.shape == (10, 9, 3)
    np.testing.assert_array_equal(pixels, np.asarray(expected))


@given(st.integers(1, 3), st.integers(0, 99))
def test_normalise_is_the_formula(count, seed):
    batch = np.random.default_rng(seed).integers(0, 256, (count, 10, 9, 3), dtype=np.uint8)
    result = Preprocessing.from_dict(DESCRIPTION).normalise(batch)
    expected = (batch * DESCRIPTION["scale"] - DESCRIPTION["mean"]) / DESCRIPTION["std"]
    assert result.dtype == np.float32 and result.flags.c_contiguous and result.shape == (count, 3, 10, 9)
    np.testing.assert_allclose(result, expected.transpose(0, 3, 1, 2), atol=2e-6)


def test_one_image_becomes_a_batch_of_one(steps):
    array = noise(40, 30)
    assert steps(array).shape == (1, 3, 10, 9)
    np.testing.assert_array_equal(steps(array), steps.normalise(steps.pixels(array)[None]))


def test_a_file_a_picture_and_an_array_give_the_same(steps, tmp_path):
    array = noise(40, 30)
    Image.fromarray(array).save(tmp_path / "picture.png")
    for image in (str(tmp_path / "picture.png"), tmp_path / "picture.png", Image.fromarray(array)):
        np.testing.assert_array_equal(steps.pixels(image), steps.pixels(array))


def test_grey_arrays_are_repeated_over_the_channels(steps):
    grey = noise(20, 20)[..., 0]
    np.testing.assert_array_equal(steps.pixels(grey), steps.pixels(np.stack([grey] * 3, axis=2)))


def test_orientation_of_a_photo_is_applied(steps, tmp_path):
    picture = Image.fromarray(noise(40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(steps.pixels(tmp_path / "turned.png"), steps.pixels(upright))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_shown_on_white(steps, tmp_path, mode):
    if mode == "P":
        picture = Image.new("P", (20, 20), 0)
        picture.putpalette([10, 20, 30])
        picture.save(tmp_path / "clear.png", transparency=0)
    else:
        Image.new(mode, (20, 20), (0,) * len(mode)).save(tmp_path / "clear.png")
    assert (steps.pixels(tmp_path / "clear.png") == 255).all()


def test_16_bit_greys_keep_their_brightness(steps, tmp_path):
    Image.fromarray(np.full((20, 20), 257 * 100, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert (steps.pixels(tmp_path / "deep.png") == 100).all()


def test_cmyk_and_bilevel_files_are_read(steps, tmp_path):
    Image.new("CMYK", (20, 20), (0, 0, 0, 0)).save(tmp_path / "print.jpg")
    Image.new("1", (20, 20), 1).save(tmp_path / "fax.png")
    assert (steps.pixels(tmp_path / "print.jpg") > 250).all()
    assert (steps.pixels(tmp_path / "fax.png") == 255).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), "uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"\[8, 8, 4\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"\[2, 8, 8, 3\]"),
        (np.zeros((0, 8, 3), np.uint8), "empty"),
        (np.zeros((1, 2_000_000), np.uint8), "too long and thin"),
        (42, "not int"),
        (None, "not NoneType"),
        ("missing.jpg", "there is no file missing.jpg"),
    ],
)
def test_what_is_no_picture_is_named(steps, image, message):
    with pytest.raises(InputError, match=message):
        steps.pixels(image)


def test_damaged_files_are_named(steps, tmp_path, monkeypatch):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(noise(60, 60)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-700])
    for name in ("text.jpg", "empty.png", "cut.jpg", "."):
        with pytest.raises(InputError, match="cannot be read as a picture"):
            steps.pixels(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="decompression bomb"):
        steps.pixels(tmp_path / "whole.jpg")


@pytest.mark.parametrize("description", [DESCRIPTION, FOR_PIXELS])
def test_the_description_survives(description):
    assert Preprocessing.from_dict(description).to_dict() == description


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 3))
def test_where_the_engine_takes_pixels_it_ends_with_the_crop(width, height, count):
    steps, plain = Preprocessing.from_dict(FOR_PIXELS), Preprocessing.from_dict(DESCRIPTION)
    array = noise(height, width)
    found = steps(array)
    assert found.dtype == np.uint8 and found.shape == (1, 10, 9, 3) and found.flags.c_contiguous
    np.testing.assert_array_equal(found[0], plain.pixels(array))
    np.testing.assert_array_equal(plain.normalise(found), plain(array))
    batch = np.concatenate([found] * count)
    assert steps.check(batch) is batch and steps.inputs(batch) is batch
    assert steps.example(count).dtype == np.uint8 and steps.check(steps.example(count)).shape == batch.shape
    with pytest.raises(InputError, match="normalises them itself"):
        steps.normalise(batch)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"kind": "sound"}, "kind='sound'"),
        ({"layout": "CHWN"}, "layout='CHWN'"),
        ({"layout": "NHWC"}, "has scale, but the engine takes pixels"),
        ({"interpolation": "lanczos"}, "interpolation"),
        ({"crop": [13, 9]}, r"crops \[13, 9\] from a short side of 12"),
        ({"crop": [0, 9]}, "crops"),
        ({"crop": 9}, "incomplete or wrong"),
        ({"mean": [0.5]}, "incomplete or wrong"),
        ({"mean": "abc"}, "incomplete or wrong"),
        ({"std": [0.2, 0.0, 0.2]}, "std not 0"),
        ({"scale": float("nan")}, "finite"),
        ({"resize_short_side": None}, "incomplete or wrong"),
    ],
)
def test_impossible_descriptions_are_refused(edit, message):
    with pytest.raises(BundleError, match=message):
        Preprocessing.from_dict({**DESCRIPTION, **edit})


@pytest.mark.parametrize("key", sorted(DESCRIPTION))
def test_every_key_is_needed(key):
    with pytest.raises(BundleError, match=key):
        Preprocessing.from_dict({name: value for name, value in DESCRIPTION.items() if name != key})
