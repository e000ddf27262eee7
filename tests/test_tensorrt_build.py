"""A whole build for TensorRT on a device over SSH: this machine, whose trtexec is a stand-in for the contract alone."""

import json
import os
import shutil

import pytest
import trtexec_contract
from edgetune_runtime import Engine
from ssh_server import HOST, serving

import edgetune
from edgetune.devices.ssh import CONFIG
from edgetune.errors import InputError
from edgetune.report.validate import validate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine"),
]
TARGET = """extends = "jetson-orin-nx"
summary = "a board of the tests"
arch = "any"
[backend_options]
max_batch = 32
"""


@pytest.fixture
def server(project, tmp_path, monkeypatch):
    (project / "targets").mkdir()
    (project / "targets" / "board.toml").write_text(TARGET)
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("ratio = [0.0, 0.5]", "ratio = [0.0]"))
    with serving(tmp_path / "server") as found:
        monkeypatch.setenv(CONFIG, str(found.config))
        yield found


def with_trtexec(server, tmp_path, banner="v100300", family=10):
    folder = tmp_path / "bin"
    trtexec_contract.install(folder, banner, family, tmp_path / "calls.jsonl")
    server.environment["PATH"] = f"{folder}:{server.environment['PATH']}"


def test_engines_are_built_checked_and_timed_on_the_device(server, project, tmp_path, monkeypatch):
    with_trtexec(server, tmp_path)
    report = edgetune.build(target="board", device=server.address, run_dir="run")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured" and report.exit_code in (0, 3)
    assert [(c["name"], c["precision"], c["status"]) for c in target["candidates"]] == [
        ("float", "fp16", "measured"),
        ("int8", "int8", "measured"),
    ]
    assert target["device"]["name"] == HOST and target["device"]["tensorrt"]["tensorrt"] == "10.3.0"
    measured = json.loads((project / "run/measurements/board.json").read_text())
    assert {len(one["values"]) for one in measured["engines"].values()} == {
        sum(measured["engines"]["int8"]["runs_by_load"])
    }
    assert measured["builds"]["int8"]["by"] == "trtexec" and measured["builds"]["int8"]["reformat_layers"]
    assert "computeMs" in target["device"]["clock"]
    manifest = json.loads((project / "run/bundles/board/manifest.json").read_text())
    plan = manifest["session"]["tensorrt"]["plan"]
    assert plan["tensorrt"] == "10.3.0" and plan["file"] in manifest["files"] and manifest["golden"]
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    built = [call for call in calls if any(flag.startswith("--onnx=") for flag in call)]
    assert len(built) == 2 and all("--stronglyTyped" in call for call in built)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")  # this machine is that device
    with Engine.open(project / "run/bundles/board.tar") as engine:  # its self-test runs the engine that was measured
        assert engine.predict(project / "shapes/test/blob/000.png", top=1)
    assert (tmp_path / "calls.jsonl").read_text().count("--onnx=") == 2
    again = edgetune.build(target="board", device=server.address)
    assert all(step["cached"] for step in again.data["steps"])


def test_a_device_of_another_kind_is_refused_with_what_it_is(server, tmp_path):
    with pytest.raises(InputError, match="board: it has no trtexec and no Python package of TensorRT"):
        edgetune.build(target="board", device=server.address)
    with pytest.raises(InputError, match="x86_64 does not run aarch64 engines"):
        edgetune.build(target="jetson", device=server.address)
    with_trtexec(server, tmp_path, "v9000", 8)
    with pytest.raises(InputError, match=r"TensorRT 9\.0\.0 is not known here"):
        edgetune.build(target="board", device=server.address)
