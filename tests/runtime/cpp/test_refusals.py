"""Bundles that are damaged, altered, hostile or of another kind: refused with a message, never a crash."""

import copy
import io
import json
import subprocess
import tarfile
import zlib

import numpy as np
import onnx
import pytest
from edgetune_runtime import BundleError, Engine
from hypothesis import given
from hypothesis import strategies as st

from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import pack_tar

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
UNLIKE_PYTHON = ("NaN", "Infinity", "\\ud")  # Python's reader takes them, RFC 8259 and UTF-8 do not


def refuse(open_engine, failed, bundle, message, code=1):
    with pytest.raises(failed, match=message) as problem:
        open_engine(bundle)
    assert problem.value.code == code


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.pop("schema"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.report/1"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/01"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/²"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/"), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edge"), "not the manifest of a bundle"),
        (lambda m: m.update(schema=["edgetune.bundle/1"]), "not the manifest of a bundle"),
        (lambda m: m.update(schema="edgetune.bundle/2"), "newer than this version reads; update"),
        (lambda m: m.pop("labels"), "'labels' is missing or not a list"),
        (lambda m: m.update(session=[]), "'session' is missing or not an object"),
        (lambda m: m.update(labels=["a", "b", "c", 4]), "'labels' must be texts"),
        (lambda m: m.update(labels=["a"]), "1 labels for outputs of"),
        (lambda m: m.update(labels=[]), "'labels' must be texts"),
        (lambda m: m["engine"].update(file="other.onnx"), "the engine's file is not among its files"),
        (lambda m: m["engine"].update(file=["engine.onnx"]), "is not among its files"),
        (lambda m: m["golden"].update(file="other.npz"), "the golden's file is not among its files"),
        (lambda m: m["golden"].update(atol=-1), "golden atol"),
        (lambda m: m["golden"].update(atol=None), "golden atol"),
        (lambda m: m.update(golden=[]), "'golden' is not an object"),
        (lambda m: m["inputs"].append({}), "one input and one output here; 'inputs'"),
        (lambda m: m["inputs"][0].update(shape=["batch", 3, 8, 9]), "another size than the preprocessing gives"),
        (lambda m: m["inputs"][0].update(shape=["batch", 3, 8]), "another size than the preprocessing gives"),
        (lambda m: m["inputs"][0].update(shape=[0, 3, 8, 8]), "neither a name nor a number above 0"),
        (lambda m: m["inputs"][0].update(name="picture"), "the engine's inputs are image"),
        (lambda m: m["outputs"][0].update(dtype="float16"), "'outputs' must give a name"),
        (lambda m: m["outputs"][0].update(shape=[4]), "outputs must have two dimensions"),
        (lambda m: m.update(backend="tensorrt"), "the bundle is for tensorrt"),
        (lambda m: m.update(postprocessing="sigmoid"), "'sigmoid' is not known"),
        (lambda m: m.update(temperature=0), "temperature must be a number above 0"),
        (lambda m: m.update(temperature="hot"), "temperature must be"),
        (lambda m: m.update(temperature=True), "temperature must be"),
        (lambda m: m.update(temperature=5e-324), "temperature must be"),
        (lambda m: m["session"].update(threads=0), "threads must be"),
        (lambda m: m["session"].update(threads=True), "threads must be"),
        (lambda m: m["session"].update(threads=1_000_000), "threads must be"),
        (lambda m: m["session"].update(graph_optimization="most"), "graph_optimization must be one of"),
        (lambda m: m["session"].update(config={"a": []}), "config must map"),
        (lambda m: m["session"].update(provider="cuda"), "provider is not cpu"),
        (lambda m: m["session"].update(arena="no"), "session arena must be true or false"),
        (lambda m: m["session"].update(memory_pattern=0), "session memory_pattern must be"),
        (lambda m: m["session"].update(config={"session.load_model_format": "ORT"}), "refuses the engine"),
        (lambda m: m["preprocessing"].update(kind="sound"), "kind is not image"),
        (lambda m: m["preprocessing"].update(layout="CHWN"), "layout is neither NCHW nor NHWC"),
        (lambda m: m["preprocessing"].update(layout="NHWC"), "has scale, but the engine takes pixels"),
        (lambda m: m["preprocessing"].update(crop=[13, 9]), "crops 13 x 9 from a short side of 10"),
        (lambda m: m["preprocessing"].update(crop=[0, 9]), "crops 0 x 9"),
        (lambda m: m["preprocessing"].update(crop=[2**62, 2**62], resize_short_side=2**62), "crops"),
        (lambda m: m["preprocessing"].update(crop=9), "'crop' is missing or not a list"),
        (lambda m: m["preprocessing"].update(mean=[0.5]), "mean must be three numbers"),
        (lambda m: m["preprocessing"].update(std=[0.2, 0, 0.2]), "std must not be 0"),
        (lambda m: m["preprocessing"].pop("scale"), "'scale' is missing"),
        (lambda m: m["preprocessing"].update(scale=float("nan")), "not valid JSON"),
        (lambda m: m["files"].update({"../secret": m["files"]["engine.onnx"]}), r'no bundle holds: "\.\./secret"'),
        (lambda m: m["files"].update({"/etc/passwd": m["files"]["engine.onnx"]}), "no bundle holds"),
        (lambda m: m["files"].update({"a/../../b": m["files"]["engine.onnx"]}), "no bundle holds"),
        (lambda m: m["files"].update({"manifest.json": m["files"]["engine.onnx"]}), "no bundle holds"),
        (lambda m: m["files"].update({"x" * 5000: m["files"]["engine.onnx"]}), "cannot be read"),
        (lambda m: m["files"]["engine.onnx"].pop("sha256"), "no size and sha256 of engine.onnx"),
        (lambda m: m["files"]["engine.onnx"].update(sha256="A" * 64), "no size and sha256 of engine.onnx"),
        (lambda m: m["files"]["engine.onnx"].update(size=-1), "no size and sha256 of engine.onnx"),
        (lambda m: m["files"]["engine.onnx"].update(size=2**63), "too large"),
        (lambda m: m["files"]["engine.onnx"].update(size=2**40), "larger than 2 GiB"),
        (lambda m: m["files"].update({"engine.onnx": None}), "no size and sha256 of engine.onnx"),
    ],
)
def test_a_wrong_manifest_is_refused(change, open_engine, failed, edit, message):
    refuse(open_engine, failed, change(edit), message)


def test_bundles_for_texts_are_refused_and_the_message_says_what_runs_them(change, open_engine, failed):
    bundle = change(lambda m: m.update(preprocessing={"kind": "text", "tokenizer": "tokenizer.json"}))
    refuse(open_engine, failed, bundle, r"reads texts.*Python package edgetune-runtime\[text\]")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"edgetune.bundle/1"', '{"schema": 1}'])
def test_what_is_no_manifest_is_refused(bundle, open_engine, failed, text):
    (bundle / "manifest.json").write_text(text)
    refuse(open_engine, failed, bundle, r"manifest\.json")


def test_bytes_that_are_no_text_are_refused(bundle, open_engine, failed):
    (bundle / "manifest.json").write_bytes(b"\xff\xfe{}")
    refuse(open_engine, failed, bundle, "the text is not UTF-8")


def test_folders_and_paths_without_a_bundle_are_named(tmp_path, open_engine, failed):
    refuse(open_engine, failed, tmp_path, r"no readable manifest\.json: not a bundle")
    refuse(open_engine, failed, tmp_path / "nowhere", "there is no bundle .*nowhere")
    refuse(open_engine, failed, "/dev/null", "neither a folder nor a .tar")


def test_altered_truncated_and_missing_files_are_noticed(bundle, open_engine, failed):
    path = bundle / "engine.onnx"
    content = path.read_bytes()
    for position in range(0, len(content), 23):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        refuse(open_engine, failed, bundle, r"engine\.onnx was altered")
    path.write_bytes(content[:-1])
    refuse(open_engine, failed, bundle, f"has {len(content) - 1} bytes instead of {len(content)}")
    path.write_bytes(content + b"x")
    refuse(open_engine, failed, bundle, f"has {len(content) + 1} bytes instead of at most {len(content)}")
    path.unlink()
    refuse(open_engine, failed, bundle, r"lacks engine\.onnx")
    path.mkdir()
    refuse(open_engine, failed, bundle, "no plain file")


def test_links_are_refused_even_to_the_right_content(bundle, tmp_path, open_engine, failed):
    (bundle / "engine.onnx").rename(tmp_path / "outside.onnx")
    (bundle / "engine.onnx").symlink_to(tmp_path / "outside.onnx")
    refuse(open_engine, failed, bundle, "is a link")


def test_a_link_in_the_middle_of_a_path_is_refused(change, tmp_path, open_engine, failed):
    def move(manifest):
        manifest["files"]["sub/engine.onnx"] = manifest["files"].pop("engine.onnx")
        manifest["engine"]["file"] = "sub/engine.onnx"

    bundle = change(move)
    (tmp_path / "outside").mkdir()
    (bundle / "engine.onnx").rename(tmp_path / "outside" / "engine.onnx")
    (bundle / "sub").symlink_to(tmp_path / "outside")
    refuse(open_engine, failed, bundle, "is a link")


def test_engines_that_onnx_runtime_refuses_are_an_error_of_the_bundle(bundle, open_engine, failed):
    for content in (b"", b"no engine at all", b"\x08\x08" * 500):
        (bundle / "engine.onnx").write_bytes(content)
        old = read_manifest(bundle)
        write_manifest(bundle, {key: value for key, value in old.items() if key not in ("schema", "files")})
        refuse(open_engine, failed, bundle, "ONNX Runtime .* refuses the engine")


@pytest.mark.parametrize("location", ["w.bin", "../w.bin", "/etc/hostname", ""])
@pytest.mark.parametrize("constant", [False, True])
def test_engines_that_keep_weights_in_other_files_are_refused(bundle, open_engine, failed, location, constant):
    engine = onnx.load(bundle / "engine.onnx")
    (weight,) = engine.graph.initializer
    np.ones(12, np.float32).tofile(bundle / "w.bin")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    if constant:
        node = onnx.helper.make_node("Constant", [], [weight.name])
        node.attribute.append(onnx.helper.make_attribute("value", weight))
        engine.graph.node.insert(0, node)
        del engine.graph.initializer[:]
    (bundle / "engine.onnx").write_bytes(engine.SerializeToString())
    old = read_manifest(bundle)
    write_manifest(bundle, {key: value for key, value in old.items() if key not in ("schema", "files")})
    refuse(open_engine, failed, bundle, "keeps weights in another file")
    with pytest.raises(BundleError, match="keeps weights in another file"):
        Engine.open(bundle)


def _places(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


@given(st.data())
def test_any_value_anywhere_opens_or_is_a_bundle_error(bundle, open_engine, failed, data):
    """What opens here opens in Python, too: the C++ runtime is never the more lenient of the two."""
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
        open_engine(bundle)
    except failed as problem:
        assert problem.code == 1 and str(problem)
        return
    Engine.open(bundle).close()


@given(
    st.binary(max_size=60)
    | st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\u', max_size=40).map(str.encode)
    | JSON.map(json.dumps).map(str.encode)
)
def test_json_is_what_python_takes_for_json(built, text):
    done = subprocess.run([built / "edgetune-parts", "json"], input=text, capture_output=True)
    assert done.returncode in (0, 1), done
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError):
        assert done.returncode == 1
        return
    strict = any(mark in json.dumps(value) for mark in UNLIKE_PYTHON) or _has_huge_integer(value)
    assert done.returncode == 0 or strict or text.startswith(b"\xef\xbb\xbf")


def _no_twins(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)


def _has_huge_integer(value):
    if isinstance(value, dict | list):
        return any(_has_huge_integer(item) for item in (value.values() if isinstance(value, dict) else value))
    return type(value) is int and not -(2**63) <= value < 2**63


@given(
    st.binary(max_size=3000),
    st.integers(0, 9),
    st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE]),
    st.integers(1, 40),
)
def test_inflate_gives_back_what_zlib_packed(built, content, level, strategy, repeat):
    content *= repeat
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    packed = packer.compress(content) + packer.flush()
    command = [built / "edgetune-parts", "inflate", str(len(content))]
    done = subprocess.run(command, input=packed, capture_output=True)
    assert done.returncode == 0 and done.stdout == content
    for size in (len(content) + 1, len(content) - 1):
        done = subprocess.run([*command[:2], str(max(size, 0))], input=packed, capture_output=True)
        assert done.returncode == (0 if max(size, 0) == len(content) else 1)


@given(st.data())
def test_damaged_golden_samples_are_refused(bundle, open_engine, failed, data):
    """With digests left out, so that the reader of zips itself is met."""
    path = bundle / "golden.npz"
    whole = path.with_suffix(".whole")
    content = bytearray((whole if whole.exists() else path).read_bytes())
    whole.write_bytes(content)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        open_engine(bundle, no_verify=1)
    except failed as problem:
        assert problem.code == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {"inputs": np.zeros((2, 3, 8, 8), np.float32)},
        {"inputs": np.zeros((2, 3, 8, 8)), "outputs": np.zeros((2, 4), np.float32)},
        {"inputs": np.zeros((2, 3, 8, 8), ">f4"), "outputs": np.zeros((2, 4), np.float32)},
        {"inputs": np.zeros((8, 8, 3, 2), np.float32).T, "outputs": np.zeros((2, 4), np.float32)},
        {"inputs": np.zeros((0, 3, 8, 8), np.float32), "outputs": np.zeros((0, 4), np.float32)},
        {"inputs": np.zeros((2, 3, 8, 9), np.float32), "outputs": np.zeros((2, 4), np.float32)},
        {"inputs": np.zeros((2, 3, 8, 8), np.float32), "outputs": np.zeros((2, 5), np.float32)},
        {"inputs": np.zeros((), np.float32), "outputs": np.zeros((2, 4), np.float32)},
    ],
)
def test_golden_samples_that_do_not_fit_are_refused(bundle, open_engine, failed, arrays):
    np.savez(bundle / "golden.npz", **arrays)
    old = read_manifest(bundle)
    write_manifest(bundle, {key: value for key, value in old.items() if key not in ("schema", "files")})
    refuse(open_engine, failed, bundle, "golden samples")


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def write_tar(path, *members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


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
def test_what_a_bundle_never_holds_is_refused(info, tmp_path, open_engine, failed):
    path = write_tar(tmp_path / "bad.tar", (info, b""))
    refuse(open_engine, failed, path, "no plain file of a bundle: refused")


def test_tars_that_are_none_are_refused(tmp_path, open_engine, failed):
    refuse(open_engine, failed, write_tar(tmp_path / "a.tar", (member("a"), b"1"), (member("a"), b"2")), "comes twice")
    for content in (b"", b"\0" * 1024, b"no tar at all" * 100, b"\x1f\x8b" + b"\0" * 600):
        (tmp_path / "x.tar").write_bytes(content)
        refuse(open_engine, failed, tmp_path / "x.tar", r"x\.tar")


@given(st.floats(0, 1))
def test_every_truncation_of_a_tar_is_noticed(bundle, open_engine, failed, share):
    pack_tar(bundle, bundle.parent / "bundle.tar")
    content = (bundle.parent / "bundle.tar").read_bytes()
    with tarfile.open(bundle.parent / "bundle.tar") as tar:
        last = tar.getmembers()[-1]
    cut = bundle.parent / "cut.tar"
    cut.write_bytes(content[: int(share * (last.offset_data + last.size - 1))])
    refuse(open_engine, failed, cut, ".")


@given(st.data())
def test_every_changed_bit_of_a_tar_is_refused_or_outside_the_files(bundle, open_engine, failed, data):
    pack_tar(bundle, bundle.parent / "bundle.tar")
    content = bytearray((bundle.parent / "bundle.tar").read_bytes())
    with tarfile.open(bundle.parent / "bundle.tar") as tar:
        listed = [m for m in tar if m.name != "manifest.json"]
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    changed = bundle.parent / "changed.tar"
    changed.write_bytes(content)
    try:
        open_engine(changed)
    except failed as problem:
        assert problem.code == 1
        return
    assert not any(m.offset_data <= position < m.offset_data + m.size for m in listed)


def test_python_refuses_what_is_refused_here(change):
    """The two readers agree on a manifest of the kind both know."""
    with pytest.raises(BundleError, match="newer than this version reads"):
        Engine.open(change(lambda m: m.update(schema="edgetune.bundle/2")))


@pytest.mark.parametrize("as_tar", [False, True])
def test_a_changed_manifest_is_noticed_where_its_digest_lies_beside_it(bundle, tmp_path, open_engine, failed, as_tar):
    content = {key: value for key, value in read_manifest(bundle).items() if key not in ("schema", "files")}
    write_manifest(bundle, content)
    open_engine(bundle)
    (bundle / "manifest.json").write_text((bundle / "manifest.json").read_text().replace('"red"', '"blue"'))
    if as_tar:
        pack_tar(bundle, tmp_path / "bundle.tar")
    refuse(open_engine, failed, tmp_path / "bundle.tar" if as_tar else bundle, "was altered")
