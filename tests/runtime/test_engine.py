"""Engines: what they answer, what they refuse, and that they notice a device that computes otherwise."""

import os
import subprocess
import sys

import numpy as np
import pytest
from edgetune_runtime import BundleError, Engine, InputError, RuntimeProblem
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import write_golden

SIDE = 8


@pytest.fixture
def engine(bundle):
    with Engine.open(bundle) as opened:
        yield opened


def batch(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, SIDE, SIDE), dtype=np.float32)


def softmax(logits):
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    return exponentials / exponentials.sum()


def rewrite(bundle, **changes):
    """Change the manifest and renew its digests."""
    content = {key: value for key, value in read_manifest(bundle).items() if key not in ("schema", "files")}
    write_manifest(bundle, {**content, **changes})
    return bundle


@pytest.mark.parametrize("count", [1, 5])
def test_run_gives_the_logits(engine, by_hand, count):
    outputs = engine.run(batch(count))
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, by_hand(batch(count)), atol=1e-5)


def test_predict_gives_sorted_probabilities(engine, by_hand):
    found = engine.predict(batch(1), top=4)
    expected = softmax(by_hand(batch(1))[0])
    assert [label for label, _ in found] == [engine.labels[i] for i in np.argsort(-expected)]
    assert [p for _, p in found] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    assert all(type(p) is float for _, p in found)


def test_the_bundles_temperature_softens_probabilities_and_keeps_the_order(change, by_hand, monkeypatch):
    from edgetune_runtime import engine as module

    logits = by_hand(batch(1))[0]
    for few_classes in (module.FEW_CLASSES, 1):  # both ways of computing it
        monkeypatch.setattr(module, "FEW_CLASSES", few_classes)
        with Engine.open(change(lambda m: m.update(temperature=2.5))) as opened:
            found = opened.predict(batch(1), top=4)
        expected = softmax(logits / 2.5)
        assert [label for label, _ in found] == [opened.labels[i] for i in np.argsort(-expected)]
        assert [p for _, p in found] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)


def test_predict_of_a_batch_gives_a_list_for_each(engine):
    images = batch(3)
    found = engine.predict(images)
    assert len(found) == 3
    for row, image in zip(found, images, strict=True):
        single = engine.predict(image[None])
        assert [label for label, _ in row] == [label for label, _ in single]
        assert [p for _, p in row] == pytest.approx([p for _, p in single], abs=1e-6)


@given(st.integers(1, 9), st.integers(0, 1000))
def test_top_is_respected_and_probabilities_sum_to_one(bundle, top, seed):
    with Engine.open(bundle, verify=False, self_test=False) as engine:
        found = engine.predict(batch(1, seed), top=top)
        everything = engine.predict(batch(1, seed), top=9)
    assert found == everything[:top] and len(found) == min(top, 4)
    assert sum(p for _, p in everything) == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 64, 65, 1000])
def test_few_and_many_classes_are_ranked_alike(bundle, engine_writer, classes):
    weight = np.random.default_rng(1).standard_normal((3, classes), dtype=np.float32)
    weight[:, -1] = weight[:, 0]  # a tie: the first of the two comes first
    engine_writer(bundle / "engine.onnx", weight)
    outputs = [{"name": "logits", "shape": ["batch", classes], "dtype": "float32"}]
    rewrite(bundle, labels=[str(i) for i in range(classes)], outputs=outputs, golden=None)
    image = np.ones((1, 3, SIDE, SIDE), dtype=np.float32)
    with Engine.open(bundle) as engine:
        found = engine.predict(image, top=classes)
        expected = softmax(engine.run(image)[0])
    order = np.argsort(-expected, kind="stable")
    assert [label for label, _ in found] == [str(i) for i in order]
    assert [p for _, p in found] == pytest.approx(expected[order], rel=1e-6)
    assert all(type(p) is float for _, p in found)


def test_softmax_is_stable_for_huge_logits(engine):
    image = np.zeros((1, 3, SIDE, SIDE), dtype=np.float32)
    image[0, 1] = 1e6
    assert engine.predict(image, top=1) == [("green", 1.0)]


def test_pictures_are_preprocessed(engine, tmp_path):
    green = np.zeros((30, 20, 3), dtype=np.uint8)
    green[..., 1] = 255
    Image.fromarray(green).save(tmp_path / "green.png")
    answers = [engine.predict(image) for image in (green, Image.fromarray(green), tmp_path / "green.png")]
    assert answers[0] == answers[1] == answers[2] == engine.predict(engine.preprocessing(green))
    assert answers[0][0][0] == "green"


def test_arrays_need_not_be_contiguous(engine):
    images = np.moveaxis(np.ascontiguousarray(np.moveaxis(batch(2), 1, 3)), 3, 1)
    assert not images.flags.c_contiguous
    assert engine.predict(images) == engine.predict(np.ascontiguousarray(images))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 3, SIDE, SIDE), np.float32), r"N > 0.* not float32 \[0, 3, 8, 8\]"),
        (np.zeros((1, 3, SIDE, SIDE)), "not float64"),
        (np.zeros((1, 3, SIDE, SIDE), np.float16), "not float16"),
        (np.zeros((1, 3, SIDE, SIDE), ">f4"), "not >f4"),
        (np.zeros((3, SIDE, SIDE), np.float32), r"not float32 \[3, 8, 8\]"),
        (np.zeros((1, SIDE, SIDE, 3), np.float32), r"expected float32 \[N, 3, 8, 8\]"),
        (np.zeros((1, 3, SIDE, SIDE + 1), np.float32), r"\[1, 3, 8, 9\]"),
        (np.zeros((2, SIDE, SIDE, 3), np.uint8), "uint8"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(engine, array, message):
    with pytest.raises(InputError, match=message):
        engine.predict(array)


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(engine, top):
    with pytest.raises(InputError, match=f"top is {top}"):
        engine.predict(batch(1), top=top)


@pytest.mark.parametrize("threads", [0, -3])
def test_fewer_than_one_thread_is_refused(bundle, threads):
    with pytest.raises(InputError, match=f"threads is {threads}"):
        Engine.open(bundle, threads=threads)


def test_threads_and_session_settings_reach_the_session(bundle, engine):
    options = engine.session.get_session_options()
    assert options.intra_op_num_threads == 1 and options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    with Engine.open(bundle, threads=2) as other:
        assert other.session.get_session_options().intra_op_num_threads == 2


def test_a_closed_engine_says_so(bundle):
    engine = Engine.open(bundle)
    engine.close()
    engine.close()
    with pytest.raises(RuntimeProblem, match="closed"):
        engine.predict(batch(1))


def test_self_test_tells_how_far_off_the_outputs_are(engine):
    assert 0.0 <= engine.self_test() < 1e-5


def test_self_test_fails_on_outputs_beyond_the_tolerance(bundle, by_hand):
    inputs = batch(2)
    write_golden(bundle, inputs, (by_hand(inputs) * 1.01).astype(np.float32))
    rewrite(bundle, golden={"file": "golden.npz", "atol": 1e-6, "agreement": "top1"})
    with pytest.raises(BundleError, match="0 of 2 golden samples get another label"):
        Engine.open(bundle)
    Engine.open(bundle, self_test=False).close()
    rewrite(bundle, golden={"file": "golden.npz", "atol": 1.0, "agreement": "top1"})
    Engine.open(bundle).close()


def test_self_test_fails_on_another_label_within_the_tolerance(bundle, by_hand):
    inputs = batch(2)
    outputs = by_hand(inputs).astype(np.float32)
    outputs[1] = -outputs[1]
    write_golden(bundle, inputs, outputs)
    rewrite(bundle, golden={"file": "golden.npz", "atol": 1e6, "agreement": "top1"})
    with pytest.raises(BundleError, match="1 of 2 golden samples get another label"):
        Engine.open(bundle)


def test_self_test_fails_on_nan(bundle, engine_writer):
    engine_writer(bundle / "engine.onnx", np.full((3, 4), np.nan, dtype=np.float32))
    rewrite(bundle)
    with pytest.raises(BundleError, match="self-test failed"):
        Engine.open(bundle)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.zeros((2, 3, 9, 9), np.float32), "outputs": np.zeros((2, 4), np.float32)}, "cannot be read"),
        ({"inputs": np.zeros((0, 3, 8, 8), np.float32), "outputs": np.zeros((0, 4), np.float32)}, "cannot be read"),
        ({"inputs": np.zeros((2, 3, 8, 8), np.float32), "outputs": np.zeros((2, 5), np.float32)}, r"are \[2, 5\]"),
        ({"inputs": np.zeros((2, 3, 8, 8), np.float32)}, "cannot be read"),
        ({"inputs": np.array([{}], dtype=object), "outputs": np.zeros((1, 4), np.float32)}, "cannot be read"),
    ],
    ids=["size", "empty", "classes", "missing", "pickle"],
)
def test_golden_samples_that_do_not_fit_are_refused(bundle, arrays, message):
    np.savez(bundle / "golden.npz", **arrays)
    rewrite(bundle)
    with pytest.raises(BundleError, match=message):
        Engine.open(bundle)


def test_a_bundle_without_golden_samples_opens(bundle):
    (bundle / "golden.npz").unlink()
    Engine.open(rewrite(bundle, golden=None)).close()


def test_a_truncated_engine_is_refused_with_and_without_digests(bundle):
    path = bundle / "engine.onnx"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match="has 100 bytes instead of"):
        Engine.open(bundle)
    with pytest.raises(BundleError, match=r"ONNX Runtime .* refuses the engine"):
        Engine.open(bundle, verify=False)


def test_an_engine_of_other_classes_than_its_manifest_is_refused(bundle, engine_writer):
    engine_writer(bundle / "engine.onnx", np.ones((3, 7), dtype=np.float32))
    rewrite(bundle)
    with pytest.raises(BundleError, match="the engine's outputs are"):
        Engine.open(bundle)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend": "tensorrt"}, "does not say how its TensorRT engine is built"),
        ({"inputs": [{"name": "x", "shape": ["batch", 3, 8, 8], "dtype": "float32"}]}, "the engine's inputs are"),
        ({"inputs": [{"name": "image", "shape": ["batch", 3, 9, 9], "dtype": "float32"}]}, "the engine's inputs are"),
        ({"session": {"threads": 1, "config": {"": "x"}}}, "refuses the engine"),
    ],
    ids=["backend", "name", "size", "config"],
)
def test_manifests_that_do_not_fit_the_engine_are_refused(bundle, changes, message):
    with pytest.raises(BundleError, match=message):
        Engine.open(rewrite(bundle, **changes))


def test_preprocessing_of_another_size_is_refused(bundle, preprocessing):
    rewrite(bundle, preprocessing={**preprocessing, "crop": [7, 8]})
    with pytest.raises(BundleError, match="the preprocessing gives another size"):
        Engine.open(bundle)


def test_a_place_with_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        Engine.open(tmp_path)


def test_import_is_light_and_turns_telemetry_off():
    code = """
import os, sys
import edgetune_runtime
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
assert not {"numpy", "onnxruntime", "PIL"} & set(sys.modules)
edgetune_runtime.Engine
assert not {"onnxruntime", "openvino", "PIL", "torch", "edgetune"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], env=_without_telemetry_choice(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_import_adds_little_to_the_librarys_own():
    """The best of five processes: at most 60 ms over numpy's and ONNX Runtime's own import."""
    code = """
import time, numpy, onnxruntime
begin = time.process_time()
from edgetune_runtime import Engine, Pipeline, DriftMonitor
import edgetune_runtime.session_onnxruntime
print(time.process_time() - begin)
"""
    commands = [[sys.executable, "-c", code]] * 5
    times = [float(subprocess.run(c, capture_output=True, text=True, check=True).stdout) for c in commands]
    assert min(times) < 0.06, times


def test_the_users_choice_on_telemetry_stands():
    code = "import os, edgetune_runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**_without_telemetry_choice(), "ORT_DISABLE_TELEMETRY": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "0"


def _without_telemetry_choice():
    return {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
