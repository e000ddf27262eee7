"""Engines on emulated Arm processors, with and without dot products: what their real kernels compute.

Needs root and the tool `arm-device` (ARM_DEVICE, or beside the checkout, as CI has it), which boots them behind real
SSH servers; skipped with the reason elsewhere. Nothing is timed there.
"""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgetune_runtime import Engine
from onnx import TensorProto, helper, numpy_helper

from edgetune import api
from edgetune.bundle.manifest import signature, write_manifest
from edgetune.bundle.pack import GOLDEN, pack_tar, write_golden
from edgetune.data.preprocessing import make_preprocessing
from edgetune.devices.ssh import CONFIG

ROOT = Path(__file__).parents[2]
TOOL = Path(os.environ.get("ARM_DEVICE") or ROOT.parent / "shared/tools/arm-device")
PROCESSORS = ("cortex-a72", "cortex-a76")
INTEGER = {"session.qdqisint8allowed": "1"}  # what Arm does by itself: signed activations are computed in integers
SIDE, CLASSES = 16, 5


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """{processor: host} of two devices that run at once; their ssh_config is in EDGETUNE_SSH_CONFIG."""
    if not TOOL.is_file():
        pytest.skip(f"there is no {TOOL.name} (ARM_DEVICE names another place)")
    if os.geteuid() != 0:
        pytest.skip(f"{TOOL.name} needs root")
    try:
        subprocess.run([TOOL, "build"], check=True, capture_output=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as problem:
        pytest.skip(f"{TOOL.name} could not make its system (it fetches packages): {problem}")
    home = Path(os.environ.get("ARM_DEVICE_HOME") or Path.home() / ".cache/arm-device")
    config, ports = tmp_path_factory.mktemp("arm") / "ssh_config", {name: free_port() for name in PROCESSORS}
    with pytest.MonkeyPatch.context() as patch:
        try:
            for name, port in ports.items():
                done = subprocess.run([TOOL, "start", str(port), name], stdout=subprocess.DEVNULL, timeout=120)
                if done.returncode:
                    pytest.skip(f"{TOOL.name} cannot start a device here")
            config.write_text("".join((home / f"run/{port}/ssh_config").read_text() for port in ports.values()))
            patch.setenv(CONFIG, str(config))
            yield {name: f"edge-{port}" for name, port in ports.items()}
        finally:
            for port in ports.values():
                subprocess.run([TOOL, "stop", str(port)], capture_output=True, timeout=60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_network(path: Path, quantized: bool) -> None:
    """A convolution, in INT8 as edgetune writes it for Arm (its outputs are integers times a scale), or in float."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (CLASSES, 3, SIDE, SIDE), dtype=np.int8)
    constants = {
        "scale": np.float32(0.03), "zero": np.int8(0), "sums": np.float32(0.2),
        "by": np.full(CLASSES, 0.002, np.float32), "zeros": np.zeros(CLASSES, np.int8),
        "weight": weight if quantized else weight.astype(np.float32) * 0.002,
    }  # fmt: skip
    nodes = [helper.make_node("Conv", ["d", "w"] if quantized else ["image", "weight"], ["conv"])]
    if quantized:
        nodes = [
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            helper.make_node("DequantizeLinear", ["weight", "by", "zeros"], ["w"], axis=0),
            *nodes,
            helper.make_node("QuantizeLinear", ["conv", "sums", "zero"], ["cq"]),
            helper.make_node("DequantizeLinear", ["cq", "sums", "zero"], ["dq"]),
        ]
    nodes.append(helper.make_node("Flatten", ["dq" if quantized else "conv"], ["logits"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    used = {name for node in nodes for name in node.input}
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in used]
    graph = helper.make_graph(nodes, "g", [image], [logits], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def made(folder: Path, quantized: bool) -> Path:
    """A bundle whose golden outputs are this machine's; INT8 ones have to come out bit for bit."""
    folder.mkdir(parents=True)
    write_network(folder / "engine.onnx", quantized)
    content = {
        "name": folder.name, "target": "arm-cpu", "backend": "onnxruntime",
        "engine": {"file": "engine.onnx", "precision": "int8" if quantized else "fp32"},
        "inputs": [signature("image", ["batch", 3, SIDE, SIDE])], "outputs": [signature("logits", ["batch", CLASSES])],
        "preprocessing": make_preprocessing(SIDE), "postprocessing": "softmax", "labels": list("abcde"),
        "session": {"threads": 1, "graph_optimization": "all", "config": INTEGER if quantized else {}},
        "scheme": None, "recipe": {}, "versions": {}, "measured": None, "golden": None,
    }  # fmt: skip
    write_manifest(folder, content)
    inputs = np.random.default_rng(1).standard_normal((4, 3, SIDE, SIDE), dtype=np.float32)
    with Engine.open(folder) as engine:
        outputs = np.concatenate([engine.run(inputs[i : i + 1]) for i in range(4)])
    write_golden(folder, inputs, outputs)
    atol = 0.0 if quantized else 1e-5 * float(np.abs(outputs).max())
    write_manifest(folder, {**content, "golden": {"file": GOLDEN, "atol": atol, "agreement": "top1"}})
    return folder


@pytest.mark.slow
def test_two_devices_compute_what_the_desk_computes(devices, tmp_path):
    bundles = [made(tmp_path / "float", quantized=False), made(tmp_path / "int8", quantized=True)]
    results = api.bench_on(bundles, [f"ssh://{host}" for host in devices.values()], batch=8)
    for processor, result in zip(devices, results, strict=True):  # self-tests have passed, else there is an error
        assert result["device"]["emulated"] and result["raw"] is None
        assert ("asimddp" in result["device"]["cpu_features"]) == (processor == "cortex-a76")
        plain, integer = (engine["outputs"] for engine in result["engines"])
        assert plain["bit_equal"] or plain["max_difference"] <= 1e-5 * plain["max_magnitude"]
        assert integer["bit_equal"]


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_cross_compiled_runner_passes_the_self_tests(devices, processor, arm_runner, tmp_path):
    host = devices[processor]
    send(host, arm_runner, "runner")
    for quantized, name in ((False, "float"), (True, "int8")):
        pack_tar(made(tmp_path / name, quantized), tmp_path / f"{name}.tar")
        send(host, tmp_path / f"{name}.tar", f"{name}.tar")
        library = "$(ls /usr/local/lib/python3*/dist-packages/onnxruntime/capi/libonnxruntime.so.*)"
        done = on(host, f"chmod +x runner && EDGETUNE_ONNXRUNTIME={library} ./runner {name}.tar --self-test")
        assert done.returncode == 0 and b"self-test passed" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def arm_runner(tmp_path_factory) -> Path:
    """edgetune-run-cpp for aarch64."""
    compiler = "aarch64-linux-gnu-g++"
    for program in ("cmake", compiler):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    build, options = tmp_path_factory.mktemp("cpp"), ("Linux", "aarch64", compiler)
    names = ("CMAKE_SYSTEM_NAME", "CMAKE_SYSTEM_PROCESSOR", "CMAKE_CXX_COMPILER")
    flags = [f"-D{name}={value}" for name, value in zip(names, options, strict=True)]
    for command in (["cmake", "-S", ROOT / "runtime/cpp", "-B", build, *flags], ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "edgetune-run-cpp"


def send(host: str, path: Path, name: str) -> None:
    assert on(host, f"cat > {name}", path.read_bytes()).returncode == 0


def on(host: str, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["ssh", "-F", os.environ[CONFIG], host, command], input=given, capture_output=True, timeout=120
    )
