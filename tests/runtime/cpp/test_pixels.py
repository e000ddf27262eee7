"""Engines that take pixels, in C++: Python's outputs, and a sentence for whoever hands over floats."""

import json

import numpy as np
import pytest
from edgetune_runtime import Engine
from hypothesis import given
from hypothesis import strategies as st

from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import write_golden

SIDE = 8


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 5))
def test_outputs_are_those_of_python_bit_for_bit(pixel_bundle, library, open_engine, width, height, seed):
    image, other = picture(height, width, seed), picture(SIDE, SIDE, seed)
    engine = open_engine(pixel_bundle)
    with Engine.open(pixel_bundle, self_test=False) as python:
        inputs = python.preprocessing(image)
        np.testing.assert_array_equal(engine.preprocess_pixels(image), inputs)
        both = np.concatenate([inputs, other[None]])
        np.testing.assert_array_equal(engine.run(both), python.run(both))
        expected = python.predict(image)
        found = engine.predict(image)
        assert [label for label, _ in found] == [label for label, _ in expected]
        assert [p for _, p in found] == pytest.approx([p for _, p in expected], rel=1e-13)
        assert engine.self_test() == pytest.approx(python.self_test(), rel=1e-6)


def rewrite(bundle):
    """Renew the digests."""
    content = {key: value for key, value in read_manifest(bundle).items() if key not in ("schema", "files")}
    write_manifest(bundle, content)


def test_each_kind_refuses_the_others_input(bundle, pixel_bundle, library, open_engine, failed):
    floats, pixels = open_engine(bundle), open_engine(pixel_bundle)
    assert [library.edgetune_takes_pixels(one.handle) for one in (floats, pixels)] == [0, 1]
    assert library.edgetune_takes_pixels(None) == 0
    for call in (
        lambda: pixels.run(np.zeros((1, 3, SIDE, SIDE), np.float32)),
        lambda: pixels.preprocess(picture(9, 9)),
    ):
        with pytest.raises(failed, match=r"takes pixels, uint8.* floats were given") as problem:
            call()
        assert problem.value.code == 2
    for call in (lambda: floats.run(picture(SIDE, SIDE)[None]), lambda: floats.preprocess_pixels(picture(9, 9))):
        with pytest.raises(failed, match=r"takes normalised float32.* pixels were given") as problem:
            call()
        assert problem.value.code == 2


def test_a_device_that_computes_otherwise_is_noticed(pixel_bundle, open_engine, failed):
    with np.load(pixel_bundle / "golden.npz") as golden:
        inputs, outputs = golden["inputs"], golden["outputs"]
    write_golden(pixel_bundle, inputs, outputs + np.float32(0.5))
    rewrite(pixel_bundle)
    with pytest.raises(failed, match=r"0 of 2 .* differ by up to 0.5"):
        open_engine(pixel_bundle)


@pytest.mark.parametrize(
    "inputs", [np.zeros((2, 3, SIDE, SIDE), np.float32), np.zeros((2, 3, SIDE, SIDE), np.uint8)], ids=["float", "nchw"]
)
def test_golden_samples_of_another_kind_are_refused(pixel_bundle, open_engine, failed, inputs):
    write_golden(pixel_bundle, inputs, np.zeros((2, 4), np.float32))
    rewrite(pixel_bundle)
    with pytest.raises(failed, match=r"golden samples (cannot be read: inputs is no uint8|do not fit)"):
        open_engine(pixel_bundle)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["inputs"][0].update(dtype="float32"), "the dtype uint8"),
        (lambda m: m["inputs"][0].update(shape=["batch", 3, SIDE, SIDE]), "another size"),
        (lambda m: m["preprocessing"].update(std=[1, 1, 1]), "has std, but the engine takes pixels"),
        (lambda m: m["preprocessing"].pop("layout"), "layout is neither"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(pixel_bundle, open_engine, failed, edit, message):
    path = pixel_bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(failed, match=message) as problem:
        open_engine(pixel_bundle)
    assert problem.value.code == 1


def test_the_manifest_of_floats_does_not_fit_an_engine_of_pixels(bundle, pixel_bundle, open_engine, failed):
    (bundle / "engine.onnx").write_bytes((pixel_bundle / "engine.onnx").read_bytes())
    rewrite(bundle)
    with pytest.raises(failed, match="the manifest says otherwise"):
        open_engine(bundle)
