"""Devices that whoever runs the tests has: EDGETUNE_TEST_DEVICES="ssh://pi4 ssh://pi5" (emulated ones will do)."""

import os

import numpy as np
import pytest
from edgetune_runtime import Engine
from small_engines import bundle, write_onnx

from edgetune import api
from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import GOLDEN, write_golden
from edgetune.devices.ssh import connect
from edgetune.errors import BackendError
from edgetune.measure.remote import folder_files
from edgetune.records import BenchSpec

DEVICES = os.environ.get("EDGETUNE_TEST_DEVICES", "").split()
pytestmark = pytest.mark.skipif(not DEVICES, reason="EDGETUNE_TEST_DEVICES names no device")


@pytest.mark.parametrize("address", DEVICES)
def test_outputs_are_the_desk_s_and_latency_only_a_real_device_s(address, tmp_path):
    spec = BenchSpec(min_runs=40, min_seconds=0.0, max_seconds=10)
    bundle(tmp_path / "made", 1)
    result = api.bench([write_onnx(tmp_path / "a.onnx"), tmp_path / "made"], spec=spec, device=address)
    for engine in result["engines"]:
        found = engine["outputs"]
        assert found["bit_equal"] or found["max_difference"] <= 1e-5 * found["max_magnitude"]
        assert (engine["latency_ms"] is None) == result["device"]["emulated"]


@pytest.mark.parametrize("address", DEVICES)
def test_the_self_test_runs_there(address, tmp_path):
    folder = tmp_path / "made"
    bundle(folder, 1)
    inputs = np.random.default_rng(0).standard_normal((3, 3, 8, 8), dtype=np.float32)
    with Engine.open(folder) as engine:
        outputs = np.concatenate([engine.run(inputs[i : i + 1]) for i in range(3)])
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    content["golden"] = {"file": GOLDEN, "atol": 1e-3 * float(np.abs(outputs).max()), "agreement": "top1"}
    job = {"kind": "check", "bundle": "b"}
    with connect(address) as device:
        write_golden(folder, inputs, outputs)
        write_manifest(folder, content)
        found = device.do(job, folder_files(folder, "b"), limit_seconds=300)
        assert 0 <= found["golden_difference"] <= content["golden"]["atol"]
        write_golden(folder, inputs, outputs + 1)
        write_manifest(folder, content)
        with pytest.raises(BackendError, match="self-test failed"):
            device.do(job, folder_files(folder, "b"), limit_seconds=300)
