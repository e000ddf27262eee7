"""Finished steps travel between stores through a folder and through a real S3-compatible server."""

import json
import os
from pathlib import Path

import fsspec
import pytest
from s3_server import s3_server

from edgetune import remote
from edgetune.errors import InputError, StoreError
from edgetune.records import Step
from edgetune.remote import open_remote, told
from edgetune.store import Store

KEY = "a" * 64
STEP = Step(id="x", name="finetune", version=1, title="fine-tune", params={})


@pytest.fixture(autouse=True)
def without_waits(monkeypatch):
    monkeypatch.setattr(remote, "WAITS", ())


@pytest.fixture(scope="module")
def s3():
    with s3_server("shared") as settings:
        before = dict(os.environ)
        os.environ.update(settings)
        fsspec.core.filesystem("s3").clear_instance_cache()
        yield "s3://shared/steps"
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(params=["folder", "s3"])
def url(request, tmp_path):
    return str(tmp_path / "shared") if request.param == "folder" else f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def write(out, _):
    (out / "model").mkdir()
    (out / "model/weights").write_bytes(bytes(range(256)) * 100)
    (out / "same").write_bytes(b"twice")
    (out / "notes").mkdir()
    (out / "notes/same").write_bytes(b"twice")


def never(out, scratch):
    raise AssertionError("made again")


def blobs(url):
    files, root = fsspec.core.url_to_fs(url)
    return sorted(path for path in files.find(f"{root}/files") if not path.endswith(".partial"))


def test_what_one_store_made_another_finds(url, tmp_path):
    made, cached = Store(tmp_path / "a", open_remote(url)).make(KEY, STEP, ("p",), write)
    found, there = Store(tmp_path / "b", open_remote(url)).make(KEY, STEP, (), never)
    assert (cached, there) == (False, True)
    assert found.digest == made.digest and found.parents == ("p",)
    assert (found.path / "model/weights").read_bytes() == (made.path / "model/weights").read_bytes()
    assert len(blobs(url)) == 2  # equal contents are there once
    assert not list((tmp_path / "b/work").iterdir())


def test_what_was_made_before_the_store_was_shared_is_handed_over_when_it_is_used(url, tmp_path):
    Store(tmp_path / "a").make(KEY, STEP, (), write)
    assert Store(tmp_path / "a", open_remote(url)).make(KEY, STEP, (), never)[1]
    assert Store(tmp_path / "b", open_remote(url)).make(KEY, STEP, (), never)[1]


def test_a_damaged_file_is_made_again_and_mended_for_all(url, tmp_path):
    Store(tmp_path / "a", open_remote(url)).make(KEY, STEP, (), write)
    files, _ = fsspec.core.url_to_fs(url)
    damaged = max(blobs(url), key=lambda path: files.size(path))
    files.pipe_file(damaged, b"other")
    files.invalidate_cache()
    assert not Store(tmp_path / "b", open_remote(url)).make(KEY, STEP, (), write)[1]
    # the manifest is there already; its missing file is put back by whoever has it
    assert Store(tmp_path / "c", open_remote(url)).make(KEY, STEP, (), never)[1]


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", ""])
def test_a_manifest_that_points_elsewhere_is_not_followed(tmp_path, name):
    place = tmp_path / f"shared/objects/{KEY}"
    place.mkdir(parents=True)
    (place / "artifact.json").write_text(json.dumps({"files": {name: {"sha256": "0" * 64, "size": 1}}}))
    assert not open_remote(str(tmp_path / "shared")).pull(KEY, tmp_path / "to")
    assert not Store(tmp_path / "a", open_remote(str(tmp_path / "shared"))).make(KEY, STEP, (), write)[1]


def test_half_an_object_is_none(tmp_path):
    shared = tmp_path / "shared"
    Store(tmp_path / "a", open_remote(str(shared))).make(KEY, STEP, (), write)
    for blob in blobs(str(shared)):
        Path(blob).unlink()
    assert not Store(tmp_path / "b", open_remote(str(shared))).make(KEY, STEP, (), write)[1]


def test_a_place_that_cannot_be_written_keeps_what_was_made(tmp_path):
    store = Store(tmp_path / "a", open_remote(str(tmp_path / "shared")))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/files").write_text("a file in the way")
    with pytest.raises(StoreError, match=r"the shared store .* cannot be used"):
        store.make(KEY, STEP, (), write)
    assert Store(tmp_path / "a").lookup(KEY) is not None


def test_a_bucket_that_is_not_there_is_told(s3, tmp_path):
    with pytest.raises(StoreError, match="s3://nobody/x cannot be used"):
        Store(tmp_path / "a", open_remote("s3://nobody/x")).make(KEY, STEP, (), write)


@pytest.mark.parametrize("url", ["nowhere://x", "s3x://bucket/place"])
def test_a_url_of_nothing_is_the_users_mistake(url):
    with pytest.raises(InputError):
        open_remote(url)


def test_secrets_in_a_url_are_not_told():
    assert told("s3://key:secret@bucket/a?token=1") == "s3://***@bucket/a" and told("/mnt/shared") == "/mnt/shared"
