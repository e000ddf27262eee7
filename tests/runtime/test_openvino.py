"""Bundles whose engine runs in OpenVINO."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from edgetune_runtime import BundleError, Engine, InputError
from edgetune_runtime.errors import LibraryError
from edgetune_runtime.session import open_session


@pytest.fixture
def in_openvino(change):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    return change(lambda manifest: manifest.update(backend="openvino", session={"threads": 1, "config": {}}))


def test_a_bundle_runs_and_tests_itself(in_openvino, by_hand):
    with Engine.open(in_openvino) as engine:
        assert engine.self_test() < 1e-5
        for size in (1, 3):
            inputs = np.random.default_rng(size).standard_normal((size, 3, 8, 8), dtype=np.float32)
            assert np.abs(engine.run(inputs) - by_hand(inputs)).max() < 1e-5
        assert engine.predict(np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8), top=1)[0][0] == "red"


def test_an_engine_that_takes_pixels_answers_as_one_of_floats(in_openvino, pixel_bundle):
    manifest = json.loads((pixel_bundle / "manifest.json").read_text())
    manifest.update(backend="openvino", session={"threads": 1, "config": {}})
    (pixel_bundle / "manifest.json").write_text(json.dumps(manifest))
    with Engine.open(in_openvino) as floats, Engine.open(pixel_bundle) as pixels:
        assert pixels.self_test() < 1e-5
        for count in (1, 3):
            array = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
            expected = floats.run(floats.preprocessing.normalise(array))
            np.testing.assert_allclose(pixels.run(array), expected, rtol=1e-5, atol=1e-5)
        with pytest.raises(InputError, match="the engine normalises"):
            pixels.predict(np.zeros((1, 3, 8, 8), np.float32))


def test_outputs_are_arrays_of_their_own(in_openvino):
    with Engine.open(in_openvino) as engine:
        first = engine.run(np.ones((1, 3, 8, 8), dtype=np.float32))
        kept = first.copy()
        engine.run(np.zeros((1, 3, 8, 8), dtype=np.float32))
        assert (first == kept).all()


def test_its_inputs_and_outputs_are_described_as_onnx_runtime_does(in_openvino):
    session = open_session(in_openvino / "engine.onnx", {"backend": "openvino"})
    described = [(one.name, one.type, one.shape) for one in (*session.get_inputs(), *session.get_outputs())]
    assert described == [
        ("image", "tensor(float)", [None, 3, 8, 8]),
        ("logits", "tensor(float)", [None, 4]),
    ]


def test_a_wrong_signature_is_refused(in_openvino, change):
    change(lambda m: m["inputs"][0].update(name="x"))
    with pytest.raises(BundleError, match="the engine's inputs are"):
        Engine.open(in_openvino)


@pytest.mark.parametrize("content", [b"", b"no onnx"])
def test_a_damaged_engine_is_refused(in_openvino, content):
    (in_openvino / "engine.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"OpenVINO .* refuses the engine"):
        Engine.open(in_openvino, verify=False)


def test_an_unknown_setting_is_refused(in_openvino, change):
    change(lambda m: m["session"].update(config={"NO_SUCH_SETTING": 1}))
    with pytest.raises(BundleError, match="NO_SUCH_SETTING"):
        Engine.open(in_openvino)


def test_a_missing_library_is_told_with_the_command(change, monkeypatch):
    bundle = change(lambda manifest: manifest.update(backend="openvino", session={}))
    monkeypatch.delitem(sys.modules, "edgetune_runtime.session_openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(LibraryError, match="not installed here: pip install openvino"):
        Engine.open(bundle)


def test_importing_openvino_tells_nobody(in_openvino, tmp_path):
    """Its telemetry would leave an identity under the home folder, and send."""
    code = """
import sys
from edgetune_runtime import Engine
Engine.open(sys.argv[1]).close()
assert "openvino" in sys.modules and sys.modules["openvino_telemetry"] is None
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(in_openvino)],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []


def test_onnx_runtime_is_not_loaded_for_it(in_openvino):
    code = "import sys, json; from edgetune_runtime import Engine; Engine.open(sys.argv[1]).close(); "
    code += "print(json.dumps([name for name in ('onnxruntime', 'openvino') if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code, str(in_openvino)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["openvino"]
