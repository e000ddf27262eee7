"""Every file is really decoded; what is wrong with it is said in words."""

import hashlib
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from edgetune_runtime.preprocessing import Preprocessing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgetune.data.check import check_image, check_images
from edgetune.data.preprocessing import make_preprocessing


def noise(width=64, height=48, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def png_header(width, height):
    """A PNG that claims a size and holds no pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(4) + b"IDAT"
    )


def problem(folder, name):
    facts = check_image(folder, name)
    assert (facts.problem is None) == bool(facts.sha256) == (facts.size != (0, 0))
    return facts.problem


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".webp", ".gif", ".tif", ".TIFF"])
def test_whole_files_of_every_format(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    noise().save(path)
    facts = check_image(tmp_path, path.name)
    assert facts.problem is None and facts.size == (64, 48)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".gif", ".tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_noticed(tmp_path, suffix, share):
    path = tmp_path / f"x{suffix}"
    noise().save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    found = problem(tmp_path, path.name)
    assert found is not None and found.startswith(("is damaged (", "is not an image"))


def test_a_truncated_jpeg_is_described(tmp_path):
    noise().save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:-500])
    assert problem(tmp_path, "x.jpg") == "is damaged (it ends before the picture does)"


def test_an_empty_file_and_a_text(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    assert problem(tmp_path, "empty.png") == "is empty (0 bytes)"
    assert problem(tmp_path, "text.png") == "is not an image"


@pytest.mark.parametrize(("real", "named"), [("GIF", "x.jpg"), ("PNG", "x.jpeg"), ("JPEG", "x.png"), ("WEBP", "x.gif")])
def test_content_that_is_not_what_the_name_says(tmp_path, real, named):
    noise().save(tmp_path / named, format=real)
    assert problem(tmp_path, named) == f"is a {real} file named .{named.split('.')[1]}"


def test_a_phones_two_frame_jpeg_is_a_jpeg(tmp_path):
    noise().save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[noise(seed=1)])
    assert Image.open(tmp_path / "x.jpg").format == "MPO" and problem(tmp_path, "x.jpg") is None


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((40_000, 40_000), "has 1,600 million pixels, more than 100 million"),
        ((10_001, 10_000), "has 10001 x 10000 pixels, more than 100 million"),
        ((60_000, 2), "has 60000 x 2 pixels, too long and thin"),
    ],
)
def test_sizes_are_judged_by_the_header(tmp_path, size, says):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))  # decoding it would find that there are no pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert problem(tmp_path, "bomb.png") == says


def test_files_that_cannot_be_read(tmp_path):  # root may read anything, so links stand in for permissions
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").symlink_to(".")
    assert problem(tmp_path, "dangling.png") == "cannot be read (No such file or directory)"
    assert problem(tmp_path, "loop.png") == "cannot be read (Too many levels of symbolic links)"
    assert problem(tmp_path, "folder.png") == "cannot be read (Is a directory)"


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    assert problem(tmp_path, "pipe.png") == problem(tmp_path, "endless.png") == "is a pipe or a device"


@pytest.mark.parametrize("suffix", [".gif", ".tif"])
def test_of_several_frames_the_first_is_used(tmp_path, suffix):
    frames = [Image.new("RGB", (40, 40), color) for color in ("white", "black", "black")]
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:])
    assert Image.open(tmp_path / f"x{suffix}").n_frames > 1
    assert problem(tmp_path, f"x{suffix}") is None
    pixels = Preprocessing.from_dict(make_preprocessing(40)).pixels(tmp_path / f"x{suffix}")
    assert pixels.min() == 255


def test_what_passes_can_be_preprocessed(tmp_path):
    """Odd modes either fail the check, or give pixels on the device."""
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"):
        for suffix in (".png", ".tif"):
            name = f"{mode.replace(';', '_')}{suffix}"
            try:
                Image.new(mode, (40, 30)).save(tmp_path / name)
            except OSError:
                continue  # this format has no such mode
            if problem(tmp_path, name) is None:
                assert Preprocessing.from_dict(make_preprocessing(32)).pixels(tmp_path / name).shape == (32, 32, 3)


@given(st.sampled_from(["jpg", "png", "gif", "webp", "tif", "bmp"]), st.data())
def test_any_damage_is_a_finding_or_harmless(tmp_path_factory, suffix, data):
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"damaged.{suffix}"
    noise(24, 20).save(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if problem(folder, path.name) is None:
            assert Preprocessing.from_dict(make_preprocessing(16)).pixels(path).shape == (16, 16, 3)


def test_many_files_keep_their_order_and_are_counted(tmp_path):
    names = [f"{number:02}.png" for number in range(40)]
    for number, name in enumerate(names):
        noise(width=40 + number).save(tmp_path / name)
    (tmp_path / names[7]).write_bytes(b"")
    ticks = []
    facts = check_images(tmp_path, names, lambda *tick: ticks.append(tick))
    assert [item.path for item in facts] == names
    assert [item.size[0] for item in facts if item.problem is None] == [40 + n for n in range(40) if n != 7]
    assert ticks == [(done, 40, "images") for done in range(1, 41)]


def test_stopping_does_not_wait_for_the_rest(tmp_path, monkeypatch):
    noise().save(tmp_path / "x.png")
    read = []

    def counted(root, path):
        read.append(path)
        return check_image(root, path)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgetune.data.check.check_image", counted)
    with pytest.raises(KeyboardInterrupt):
        check_images(tmp_path, ["x.png"] * 5000, stop)
    assert len(read) < 5000
