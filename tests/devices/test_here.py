"""This machine as a device: real jobs in processes of their own."""

import json

import pytest
from small_engines import bundle

from edgetune.devices.here import ThisMachine
from edgetune.errors import BackendError, DeviceError
from edgetune.measure.remote import folder_files


def test_it_looks_and_checks_as_a_device_does(tmp_path):
    device, parts = ThisMachine(), []
    assert device.about()["device"]["cores"] and json.dumps(device.about())
    bundle(tmp_path / "b", 1)
    job = {"kind": "check", "bundle": "b"}
    assert device.do(job, folder_files(tmp_path / "b", "b"), limit_seconds=60, part=parts.append) == {
        "golden_difference": None
    }
    (tmp_path / "b" / "engine.onnx").write_bytes(b"damaged")
    with pytest.raises(BackendError, match=r"on this machine: engine\.onnx has 7 bytes"):
        device.do(job, folder_files(tmp_path / "b", "b"), limit_seconds=60)


def test_a_job_that_takes_too_long_is_ended():
    with pytest.raises(DeviceError, match=r"was ended after 0\.01 s"):
        ThisMachine().do({"kind": "look"}, {}, limit_seconds=0.01)


def test_a_job_that_nobody_knows_is_told():
    with pytest.raises(BackendError, match="KeyError: 'nonsense'"):
        ThisMachine().do({"kind": "nonsense"}, {}, limit_seconds=60)
