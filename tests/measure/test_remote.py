"""The bench on a device: this machine, behind an SSH server in this process."""

import json
import shutil

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from small_engines import bundle, write_onnx
from ssh_server import HOST, serving

from edgetune import api
from edgetune.bundle.pack import pack_tar
from edgetune.cli import cli
from edgetune.devices.ssh import CONFIG, connect
from edgetune.errors import BackendError, InputError
from edgetune.measure.engines import find_engines
from edgetune.measure.remote import agreement, engine_files
from edgetune.records import BenchSpec

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine")
QUICK = BenchSpec(min_runs=80, min_seconds=0.0, max_seconds=10)


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serving(tmp_path / "server") as found:
        monkeypatch.setenv(CONFIG, str(found.config))
        yield found


def test_files_and_bundles_are_measured_there(server, tmp_path):
    fast, slow = write_onnx(tmp_path / "fast.onnx"), write_onnx(tmp_path / "slow.onnx", repeat=60)
    bundle(tmp_path / "made", 1)
    pack_tar(tmp_path / "made", tmp_path / "made.tar")
    result = api.bench([slow, fast, tmp_path / "made.tar"], spec=QUICK, device=server.address)
    assert result["device"]["name"] == HOST and result["noise"]["verdict"] in ("quiet", "noisy")
    assert [engine["name"] for engine in result["engines"]] == ["slow", "fast", "made"]
    assert result["engines"][1]["speedup"]["ci95"][0] > 1
    assert all(engine["outputs"]["bit_equal"] for engine in result["engines"])
    assert all(len(engine["peak_rss_bytes"]) == 3 and engine["latency_ms"]["n"] >= 80 for engine in result["engines"])


def test_a_fixed_rate_is_kept_there_too(server, tmp_path):
    result = api.bench([write_onnx(tmp_path / "a.onnx")], spec=QUICK, device=server.address, rate=2000.0)
    assert result["scenario"]["kind"] == "fixed-rate" and result["engines"][0]["utilisation"] > 0


def test_an_emulated_device_shows_no_latency(server, tmp_path):
    server.environment["EDGETUNE_EMULATED"] = "1"
    output = tmp_path / "bench.json"
    args = ["bench", write_onnx(tmp_path / "a.onnx"), "--device", server.address, "--output", output]
    done = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    assert "emulated" in done.output and " ms" not in done.output and "equal" in done.output
    found = json.loads(output.read_text())
    assert found["raw"] is None and found["engines"][0]["latency_ms"] is None


def test_several_devices_at_once_and_one_that_fails(server, tmp_path):
    server.environment["EDGETUNE_EMULATED"] = "1"
    args = ["bench", write_onnx(tmp_path / "a.onnx"), "--json"]
    for address in (server.address, server.address, "ssh://no.such.invalid"):
        args += ["--device", address]
    done = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert done.exit_code == 1
    first, second, third = json.loads(done.stdout)
    assert first["engines"][0]["outputs"]["bit_equal"] and second["device"]["name"] == HOST
    assert "no such host" in third["error"]


def test_a_bundle_that_fails_its_self_test_there(server, tmp_path):
    folder = tmp_path / "made"
    bundle(folder, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "engine.onnx").write_bytes(write_onnx(tmp_path / "other.onnx").read_bytes())
    with pytest.raises(InputError, match=r"altered|bytes instead"):
        api.bench([folder], spec=QUICK, device=server.address)
    assert manifest["files"]


def test_external_data_goes_along_and_may_not_lie_elsewhere(server, tmp_path):
    weights = numpy_helper.from_array(np.ones((3, 4), dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    server.environment["EDGETUNE_EMULATED"] = "1"
    assert api.bench([path], spec=QUICK, device=server.address)["engines"][0]["outputs"]["bit_equal"]
    with find_engines([path], threads=1) as (engine,):
        assert set(engine_files(engine, "e")) == {"e/m.onnx", "e/m.bin"}


def test_differences_are_told(tmp_path):
    import base64

    path = write_onnx(tmp_path / "a.onnx")
    feed = {"image": np.ones((1, 3, 8, 8), dtype=np.float32)}

    def sent(array):
        content = base64.b64encode(array.tobytes()).decode()
        return [{"dtype": str(array.dtype), "shape": list(array.shape), "bytes": content}]

    with find_engines([path], threads=1) as (engine,):
        import onnxruntime as ort

        (here,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)
        assert agreement(engine, feed, sent(here), 1)["bit_equal"]
        found = agreement(engine, feed, sent(here + np.float32(0.5)), 1)
        assert not found["bit_equal"] and found["max_difference"] == pytest.approx(0.5, rel=1e-3)
        assert agreement(engine, feed, sent(here * np.float32("nan")), 1)["max_difference"] is None
        assert agreement(engine, feed, sent(np.stack([here, here])), 1)["max_difference"] is None


def test_an_engine_that_the_device_refuses(server, tmp_path):
    with connect(server.address) as device, pytest.raises(BackendError, match=f"on {HOST}: .* not a bundle"):
        device.do({"kind": "check", "bundle": "b"}, {"b/x": write_onnx(tmp_path / "a.onnx")}, limit_seconds=60)
