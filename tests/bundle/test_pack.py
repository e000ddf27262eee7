"""Golden samples and tars whose bytes depend on their content alone."""

import os
import tarfile
import time

import numpy as np
import pytest
from edgetune_runtime.archive import unpack

from edgetune.bundle.pack import GOLDEN, pack_tar, write_golden


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "bundle"
    (place / "extra").mkdir(parents=True)
    for name, content in {"engine.onnx": b"x" * 3000, "manifest.json": b"{}", "extra/a.bin": b""}.items():
        (place / name).write_bytes(content)
    return place


def test_golden_arrays_come_back_as_they_were(tmp_path):
    inputs = np.random.default_rng(0).standard_normal((2, 3, 4, 5), dtype=np.float32)
    outputs = inputs.mean((2, 3))
    write_golden(tmp_path, inputs[:, :, ::-1], outputs)
    with np.load(tmp_path / GOLDEN, allow_pickle=False) as arrays:
        assert set(arrays) == {"inputs", "outputs"}
        np.testing.assert_array_equal(arrays["inputs"], inputs[:, :, ::-1])
        np.testing.assert_array_equal(arrays["outputs"], outputs)
        assert arrays["inputs"].dtype == arrays["outputs"].dtype == np.float32


def test_golden_bytes_depend_on_the_arrays_alone(tmp_path, monkeypatch):
    inputs = np.ones((1, 3, 4, 4), dtype=np.float32)
    write_golden(tmp_path, inputs, inputs[..., 0, 0])
    first = (tmp_path / GOLDEN).read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_golden(tmp_path, np.asfortranarray(inputs), inputs[..., 0, 0])
    assert (tmp_path / GOLDEN).read_bytes() == first
    write_golden(tmp_path, inputs * 2, inputs[..., 0, 0])
    assert (tmp_path / GOLDEN).read_bytes() != first


def test_a_tar_unpacks_to_the_same_files(folder, tmp_path):
    pack_tar(folder, tmp_path / "bundle.tar")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "bundle.tar", tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert found == {"engine.onnx": b"x" * 3000, "manifest.json": b"{}", "extra/a.bin": b""}


def test_a_tar_tells_nothing_of_time_owner_or_rights(folder, tmp_path):
    pack_tar(folder, tmp_path / "first.tar")
    for number, path in enumerate(sorted(folder.rglob("*.*"), reverse=True)):
        os.utime(path, (number, number))
        path.chmod(0o600)
    pack_tar(folder, tmp_path / "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    with tarfile.open(tmp_path / "first.tar") as tar:
        names = tar.getnames()
        assert names == sorted(names) == ["engine.onnx", "extra/a.bin", "manifest.json"]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}


def test_an_older_tar_is_replaced_whole_and_nothing_else_is_left(folder, tmp_path):
    (tmp_path / "bundle.tar").write_bytes(b"older")
    pack_tar(folder, tmp_path / "bundle.tar")
    assert tarfile.is_tarfile(tmp_path / "bundle.tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "bundle.tar"]


def test_a_tar_that_cannot_be_finished_leaves_the_older_one(folder, tmp_path):
    (tmp_path / "bundle.tar").write_bytes(b"older")
    (folder / ("x" * 101)).write_bytes(b"")  # a name that a plain tar cannot hold
    with pytest.raises(ValueError, match="name is too long"):
        pack_tar(folder, tmp_path / "bundle.tar")
    assert (tmp_path / "bundle.tar").read_bytes() == b"older"
    assert not (tmp_path / "bundle.tar.partial").exists()
