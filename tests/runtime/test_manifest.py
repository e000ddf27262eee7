"""Manifests that are whole, damaged, altered, newer or hostile."""

import copy
import json
import os

import pytest
from edgetune_runtime import BundleError, Engine
from edgetune_runtime.manifest import is_safe_name, read_manifest, verify_files
from hypothesis import given
from hypothesis import strategies as st

from edgetune.bundle.manifest import write_manifest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def test_a_whole_bundle_is_read_and_verified(bundle):
    manifest = read_manifest(bundle)
    assert manifest["labels"] == ["red", "green", "blue", "grey"]
    verify_files(bundle, manifest)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.pop("schema"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.report/1"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/²"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/2"), "newer than this version reads: update edgetune-runtime"),
        (lambda m: m.pop("labels"), "'labels' is missing or not a list"),
        (lambda m: m.update(session=[]), "'session' is missing or not a dict"),
        (lambda m: m.update(labels=["a", "b", "c", 4]), "'labels' must be texts"),
        (lambda m: m.update(labels=["a"]), "1 labels for outputs of"),
        (lambda m: m.update(labels=[]), "'labels' must be texts"),
        (lambda m: m["engine"].update(file="other.onnx"), "engine's file 'other.onnx' is not among its files"),
        (lambda m: m["engine"].update(file=["engine.onnx"]), "is not among its files"),
        (lambda m: m["golden"].update(file="other.npz"), "golden's file 'other.npz' is not among its files"),
        (lambda m: m["golden"].update(atol=-1), "golden atol is -1"),
        (lambda m: m["golden"].update(atol=None), "golden atol is None"),
        (lambda m: m.update(golden=[]), "'golden' is not a dict"),
        (lambda m: m["inputs"].append({}), "an engine has one input and one output here; 'inputs'"),
        (lambda m: m["outputs"][0].update(dtype="float16"), "'outputs' must give a name"),
        (lambda m: m.update(postprocessing="sigmoid"), "'sigmoid' is not known"),
        (lambda m: m.update(temperature=0), "temperature is 0, it must be a number above 0"),
        (lambda m: m.update(temperature="hot"), "temperature is 'hot'"),
        (lambda m: m["session"].update(threads=0), "threads is 0"),
        (lambda m: m["session"].update(threads=True), "threads is True"),
        (lambda m: m["session"].update(graph_optimization="most"), "graph_optimization must be one of"),
        (lambda m: m["session"].update(config={"a": []}), "config must map"),
        (lambda m: m["session"].update(provider="npu"), "session provider must be one of cpu, xnnpack, cuda, tensorrt"),
        (lambda m: m["session"].update(provider=["cpu"]), "session provider must be one of"),
        (lambda m: m["session"].update(arena="no"), "arena and memory_pattern must be true or false"),
        (lambda m: m["files"].update({"../secret": m["files"]["engine.onnx"]}), r"no bundle holds: '\.\./secret'"),
        (lambda m: m["files"].update({"/etc/passwd": m["files"]["engine.onnx"]}), "no bundle holds"),
        (lambda m: m["files"].update({"manifest.json": m["files"]["engine.onnx"]}), "no bundle holds"),
        (lambda m: m["files"]["engine.onnx"].pop("sha256"), "no size and sha256 of engine.onnx"),
        (lambda m: m["files"]["engine.onnx"].update(sha256="A" * 64), "no size and sha256 of engine.onnx"),
        (lambda m: m["files"].update({"engine.onnx": None}), "no size and sha256 of engine.onnx"),
    ],
)
def test_a_wrong_manifest_is_refused_without_reading_files(change, edit, message):
    with pytest.raises(BundleError, match=message):
        read_manifest(change(edit))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"edgetune.bundle/1"', '{"schema": 1}'])
def test_what_is_no_manifest_is_refused(bundle, text):
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_manifest(bundle)


def test_bytes_that_are_no_text_are_refused(bundle):
    (bundle / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(bundle)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"has no manifest\.json: not a bundle"):
        read_manifest(tmp_path)


def test_every_changed_byte_of_the_engine_is_noticed(bundle):
    path, manifest = bundle / "engine.onnx", read_manifest(bundle)
    content = path.read_bytes()
    for position in range(0, len(content), 17):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(BundleError, match=r"engine\.onnx was altered"):
            verify_files(bundle, manifest)


def test_truncated_and_missing_files_are_noticed(bundle):
    path, manifest = bundle / "golden.npz", read_manifest(bundle)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=f"has {size - 1} bytes instead of {size}"):
        verify_files(bundle, manifest)
    path.unlink()
    with pytest.raises(BundleError, match=r"lacks golden\.npz"):
        verify_files(bundle, manifest)


def test_links_are_refused_even_to_the_right_content(bundle, tmp_path):
    manifest = read_manifest(bundle)
    (bundle / "engine.onnx").rename(tmp_path / "outside.onnx")
    (bundle / "engine.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(BundleError, match="is a link"):
        verify_files(bundle, manifest)


def test_a_link_in_the_middle_of_a_path_is_refused(change, tmp_path):
    def move(manifest):
        manifest["files"]["sub/engine.onnx"] = manifest["files"].pop("engine.onnx")
        manifest["engine"]["file"] = "sub/engine.onnx"

    bundle = change(move)
    (tmp_path / "outside").mkdir()
    (bundle / "engine.onnx").rename(tmp_path / "outside" / "engine.onnx")
    (bundle / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="is a link"):
        verify_files(bundle, read_manifest(bundle))


def test_a_name_that_no_file_system_takes_is_an_error_of_the_bundle(change):
    bundle = change(lambda m: m["files"].update({"x" * 5000: m["files"]["engine.onnx"]}))
    with pytest.raises(BundleError, match=r"cannot be read|lacks"):
        verify_files(bundle, read_manifest(bundle))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/../b", "/a", "a//b", "a/", "\\a", "..\\a", "C:a", "a\0b", "a\nb", "./a", "\ud800"]
)
def test_names_that_leave_the_folder_are_unsafe(name):
    assert not is_safe_name(name)


@given(st.text(max_size=20))
def test_safe_names_stay_inside(name):
    if is_safe_name(name):
        assert os.path.normpath("/bundle/" + name) == "/bundle/" + name


def _places(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


@given(st.data())
def test_any_value_anywhere_opens_or_is_a_bundle_error(bundle, data):
    """No manifest, however wrong, makes the runtime fail in another way."""
    path = bundle / "manifest.json"
    whole = json.loads((path if not path.with_suffix(".whole").exists() else path.with_suffix(".whole")).read_text())
    path.with_suffix(".whole").write_text(json.dumps(whole))
    *parents, last = data.draw(st.sampled_from([place for place in _places(whole) if place]))
    changed = copy.deepcopy(whole)
    holder = changed
    for key in parents:
        holder = holder[key]
    holder[last] = data.draw(JSON)
    path.write_text(json.dumps(changed))
    try:
        Engine.open(bundle).close()
    except BundleError as error:
        assert str(error)


def swapped_labels(bundle):
    """Two labels of a bundle with a digest of its manifest change places: every file is as it was."""
    content = {key: value for key, value in read_manifest(bundle).items() if key not in ("schema", "files")}
    write_manifest(bundle, content)
    text = (bundle / "manifest.json").read_text()
    swapped = text.replace('"red"', '"?"').replace('"green"', '"red"').replace('"?"', '"green"')
    (bundle / "manifest.json").write_text(swapped)
    return bundle


def test_swapped_labels_are_noticed(bundle):
    manifest = read_manifest(swapped_labels(bundle))
    with pytest.raises(BundleError, match=r"manifest\.json was altered"):
        verify_files(bundle, manifest)


@pytest.mark.parametrize("content", [b"", b"0" * 64, "é".encode("latin-1")])
def test_a_damaged_digest_of_the_manifest_is_noticed(bundle, content):
    (bundle / "manifest.sha256").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json was altered"):
        verify_files(bundle, read_manifest(bundle))


def test_a_digest_that_is_a_link_is_refused(bundle, tmp_path):
    (bundle / "manifest.sha256").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        verify_files(bundle, read_manifest(bundle))
