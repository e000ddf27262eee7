"""Tars that are whole, truncated or hostile."""

import gzip
import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from edgetune_runtime import BundleError, Engine
from edgetune_runtime.archive import unpack
from hypothesis import given
from hypothesis import strategies as st

from edgetune.bundle.pack import pack_tar


@pytest.fixture
def archive(bundle, tmp_path):
    pack_tar(bundle, tmp_path / "bundle.tar")
    return tmp_path / "bundle.tar"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder of its own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write_tar(path, *members):
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_tar_opens_and_leaves_nothing_behind(archive, temporary):
    with Engine.open(archive) as engine:
        assert engine.labels[0] == "red"
        assert len(list(temporary.iterdir())) == 1
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    "info",
    [
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "engine.onnx"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
        member("folder", tarfile.DIRTYPE),
        member("../outside"),
        member("/absolute"),
        member("a/../../outside"),
        member("C:\\outside"),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_what_a_bundle_never_holds_is_refused(info, tmp_path):
    path = write_tar(tmp_path / "bad.tar", (info, b""))
    folder = tmp_path / "inner" / "unpacked"
    folder.mkdir(parents=True)
    with pytest.raises(BundleError, match="no plain file of a bundle: refused"):
        unpack(path, folder)
    assert not list(folder.iterdir()) and {p.name for p in folder.parent.iterdir()} == {"unpacked"}


def test_a_name_that_comes_twice_is_refused(tmp_path):
    path = write_tar(tmp_path / "twice.tar", (member("a"), b"1"), (member("a"), b"2"))
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


def test_the_sum_of_sizes_is_limited(tmp_path):
    path = write_tar(tmp_path / "large.tar", (member("a"), b"x" * 600), (member("b"), b"x" * 600))
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match="unpacks to more than 1000 bytes"):
        unpack(path, tmp_path / "out", max_bytes=1000)
    assert not (tmp_path / "out" / "b").exists()


def test_compressed_tars_are_refused(archive, tmp_path, temporary):
    packed = tmp_path / "bundle.tar.gz"
    packed.write_bytes(gzip.compress(archive.read_bytes()))
    with pytest.raises(BundleError, match="cannot be unpacked"):
        Engine.open(packed)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b"no tar at all" * 100])
def test_what_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(BundleError, match=r"x\.tar"):
        Engine.open(tmp_path / "x.tar")


def test_a_missing_tar_is_named():
    with pytest.raises(BundleError, match="there is no bundle nowhere"):
        Engine.open("nowhere.tar")


@given(st.floats(0, 1))
def test_every_truncation_is_noticed(archive, share):
    """Wherever a copy was cut: in a header, in a file, between files."""
    content = archive.read_bytes()
    # behind the last file there is only tar's padding, which nobody needs
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1]
    length = int(share * (last.offset_data + last.size - 1))
    cut = Path(archive.parent / "cut.tar")
    cut.write_bytes(content[:length])
    with pytest.raises(BundleError):
        Engine.open(cut)


@given(st.data())
def test_every_changed_bit_is_refused_or_outside_the_files(archive, data):
    """A changed bit of a listed file is noticed; one of tar's own fields or of the manifest never crashes."""
    content = bytearray(archive.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with tarfile.open(archive) as tar:
        listed = [m for m in tar if m.name != "manifest.json"]
    changed = Path(archive.parent / "changed.tar")
    changed.write_bytes(content)
    try:
        Engine.open(changed).close()
    except BundleError:
        return
    assert not any(m.offset_data <= position < m.offset_data + m.size for m in listed)


def test_a_declared_size_of_10_gb_is_refused_before_anything_is_written(tmp_path):
    info = member("engine.onnx")
    info.size = 10 << 30
    (tmp_path / "bomb.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match="unpacks to more than"):
        unpack(tmp_path / "bomb.tar", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
