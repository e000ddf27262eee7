"""The manifest that the desk writes is the one the device accepts."""

import hashlib
import json

import pytest
from edgetune_runtime.manifest import verify_files

from edgetune.bundle.manifest import NAME, SCHEMA, read_manifest, signature, write_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "engine.onnx").write_bytes(b"engine")
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "table.bin").write_bytes(b"")
    return tmp_path


def test_every_file_is_listed_with_size_and_digest(folder):
    write_manifest(folder, {"name": "float", "engine": {"file": "engine.onnx"}})
    manifest = read_manifest(folder)
    assert manifest["schema"] == SCHEMA and manifest["name"] == "float"
    assert manifest["files"] == {
        "engine.onnx": {"sha256": hashlib.sha256(b"engine").hexdigest(), "size": 6},
        "extra/table.bin": {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0},
    }
    verify_files(folder, manifest)


def test_writing_again_lists_the_files_that_are_there_now(folder):
    write_manifest(folder, {"name": "float"})
    (folder / "engine.onnx").unlink()
    write_manifest(folder, {"name": "float"})
    assert list(read_manifest(folder)["files"]) == ["extra/table.bin"]


def test_the_same_content_gives_the_same_bytes(folder):
    write_manifest(folder, {"name": "größe", "labels": ["b", "a"], "recipe": {"z": 1, "a": 2}})
    first = (folder / NAME).read_bytes()
    write_manifest(folder, {"recipe": {"a": 2, "z": 1}, "labels": ["b", "a"], "name": "größe"})
    assert (folder / NAME).read_bytes() == first
    assert json.loads(first)["labels"] == ["b", "a"]


def test_numbers_that_json_cannot_hold_are_refused_before_anything_is_written(folder):
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(folder, {"measured": float("nan")})
    assert not (folder / NAME).exists()


def test_signature():
    assert signature("image", ["batch", 3, 8, 8]) == {"name": "image", "shape": ["batch", 3, 8, 8], "dtype": "float32"}
