"""A whole build whose engines run on a device over SSH: this machine, behind a server in this process."""

import json
import shutil
from pathlib import Path

import edgetune_runtime
import pytest
from edgetune_runtime import Engine
from ssh_server import HOST, serving

import edgetune
from edgetune.devices.ssh import CONFIG
from edgetune.errors import DeviceError, InputError
from edgetune.report.validate import validate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine"),
]
TARGET = """extends = "x86-cpu"
summary = "the board of the tests"
arch = "any"
cpu_features = []
"""


@pytest.fixture
def server(project, tmp_path, monkeypatch):
    (project / "targets").mkdir()
    (project / "targets" / "board.toml").write_text(TARGET)
    with serving(tmp_path / "server") as found:
        monkeypatch.setenv(CONFIG, str(found.config))
        yield found


def ran(report):
    return {step["name"] for step in report.data["steps"] if not step["cached"]}


def test_a_target_is_measured_on_a_device(server, project):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("ratio = [0.0, 0.5]", "target_speedup = [1.2]")
    recipe.write_text(
        text.replace("pretrained = false", "pretrained = false\nargs = { width = 64 }")
    )  # time is in channels
    report = edgetune.build(target="board", device=server.address, run_dir="run")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured" and report.exit_code in (0, 3)
    assert target["device"]["name"] == HOST and target["device"]["versions"]["onnxruntime"]
    assert [c["name"] for c in target["candidates"]] == ["float", "int8", "pruned-1.2x", "pruned-1.2x-int8"]
    assert [c["reason"] for c in target["candidates"]] == [None] * 4
    assert all(c["latency_ms"]["n"] >= 20 for c in target["candidates"])
    measured = json.loads((project / "run/measurements/board.json").read_text())
    assert all(found["bit_equal"] for found in measured["outputs"].values())
    with Engine.open(project / "run/bundles/board.tar") as engine:
        assert engine.manifest["measured"]["device"]["name"] == HOST
    again = edgetune.build(target="board", device=server.address)
    assert ran(again) == set()
    here = edgetune.build(target="board")  # the same network, measured here
    assert not ran(here) & {"check-data", "finetune"} and "measure:board" in ran(here)


def test_an_emulated_device_gives_accuracies_and_no_latency(server):
    server.environment["EDGETUNE_EMULATED"] = "1"
    report = edgetune.build(target="board", device=server.address, run_dir="run")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "prepared" and report.exit_code == 4
    assert "emulated" in target["reason"][0] and target["device"]["emulated"] is True
    assert target["chosen"] is None and target["bundle"] is None
    for candidate in target["candidates"]:
        assert candidate["metrics"]["accuracy"] > 0 and candidate["selection"]["n"] == 24
        assert candidate["latency_ms"] is None and candidate["speedup"] is None
        assert "emulated" in candidate["reason"]
    assert (report.run_dir / "prepared/board/int8.onnx").is_file()
    assert "emulated" in (report.run_dir / "report.md").read_text()
    assert "emulated" in (report.run_dir / "report.html").read_text()


def test_a_device_that_vanishes_stops_the_build_which_then_goes_on(server):
    runtime = sum(file.stat().st_size for file in Path(edgetune_runtime.__file__).parent.glob("*.py"))
    server.drop_after_bytes = runtime + 60_000  # the runtime and the first engine are through by then
    with pytest.raises(DeviceError, match="the connection ended"):
        edgetune.build(target="board", device=server.address)
    server.drop_after_bytes = None
    report = edgetune.build(target="board", device=server.address)
    assert report.data["targets"][0]["status"] == "measured"
    assert "finetune" not in ran(report)


def test_a_device_of_another_kind_is_refused_with_what_it_is(server):
    with pytest.raises(InputError, match=f"{HOST} is of no use for this target: arm-cpu: x86_64 does not run aarch64"):
        edgetune.build(target="arm-cpu", device=server.address)
    with pytest.raises(InputError, match="x86_64 does not run aarch64"):
        edgetune.build(target="jetson", device=server.address)
