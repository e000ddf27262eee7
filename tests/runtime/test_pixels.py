"""Bundles whose engine takes pixels: the same answers, and a sentence for whoever hands over floats."""

import json

import numpy as np
import pytest
from edgetune_runtime import BundleError, Engine, InputError
from edgetune_runtime.cli import main
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SIDE = 8


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_answers_are_those_of_the_engine_of_floats(bundle, pixel_bundle, height, width, seed):
    image = picture(height, width, seed)
    with Engine.open(bundle) as floats, Engine.open(pixel_bundle) as pixels:
        inputs = pixels.preprocessing(image)
        np.testing.assert_array_equal(pixels.run(inputs), floats.run(floats.preprocessing(image)))
        assert pixels.predict(image) == floats.predict(image) == pixels.predict(inputs)
        assert pixels.predict(Image.fromarray(image)) == floats.predict(image)
        assert pixels.predict(np.concatenate([inputs, inputs]), top=2) == [floats.predict(image, top=2)] * 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 3, SIDE, SIDE), np.float32), r"expected uint8 \[N, 8, 8, 3\] .*not float32 \[1, 3, 8, 8\]"),
        (np.zeros((1, SIDE, SIDE, 3), np.float32), "which the engine normalises"),
        (np.zeros((0, SIDE, SIDE, 3), np.uint8), "N > 0"),
        (np.zeros((1, SIDE, SIDE + 1, 3), np.uint8), r"not uint8 \[1, 8, 9, 3\]"),
        (np.zeros((1, 3, SIDE, SIDE), np.uint8), r"not uint8 \[1, 3, 8, 8\]"),
        (np.zeros((SIDE, SIDE, 4), np.uint8), "an image array must be uint8"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pixel_bundle, array, message):
    with Engine.open(pixel_bundle) as engine, pytest.raises(InputError, match=message):
        engine.predict(array)


def test_the_runner_takes_pictures_as_ever(pixel_bundle, tmp_path, capsys):
    Image.fromarray(picture(30, 20)).save(tmp_path / "photo.png")
    main([str(pixel_bundle), str(tmp_path / "photo.png"), "--json", "--top", "1"])
    assert json.loads(capsys.readouterr().out)["predictions"][0]["label"] in ("red", "green", "blue", "grey")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["inputs"][0].update(dtype="float32"), "the dtype uint8"),
        (lambda m: m["inputs"][0].update(shape=["batch", 3, SIDE, SIDE]), "the manifest says"),
        (lambda m: m["preprocessing"].update(layout="NCHW"), "the dtype float32"),
        (lambda m: m["preprocessing"].update(mean=[0, 0, 0]), "has mean, but the engine takes pixels"),
        (lambda m: m["preprocessing"].update(crop=[SIDE, SIDE - 1]), "another size"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(pixel_bundle, edit, message):
    path = pixel_bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=message):
        Engine.open(pixel_bundle)


def test_the_manifest_of_floats_does_not_fit_an_engine_of_pixels(bundle, pixel_bundle):
    (bundle / "engine.onnx").write_bytes((pixel_bundle / "engine.onnx").read_bytes())
    with pytest.raises(BundleError, match="uint8"):
        Engine.open(bundle, verify=False)
