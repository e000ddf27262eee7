"""Do Arm devices compute what the desk computes? Engines for arm-cpu and arm-cpu-nodot, run on both.

    EDGETUNE_SSH_CONFIG=FILE python benchmarks/devices/arm_outputs.py ssh://pi5 ssh://pi4

Recorded: how far outputs are from this machine's, of float engines, of INT8 engines with ONNX Runtime's defaults
(``int8``: floats on x86, integers on Arm), of the same where x86 is told to use integers too (``bundle-int8``), and of
the INT8 network's last integer tensor (``integer_part``); and whether a bundle with golden outputs from this machine
and the tolerance of a build passes its self-test there. Networks: the demo's and torchvision's MobileNetV2 and
ResNet-18, fine-tuned for one epoch on handwritten digits (32 px). Nothing is timed: the devices may be emulated.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import onnx.utils
from common import environment
from edgetune_runtime import Engine

import edgetune
from edgetune import api
from edgetune.bundle.manifest import signature, write_manifest
from edgetune.bundle.pack import GOLDEN, write_golden
from edgetune.data.preprocessing import make_preprocessing
from edgetune.demo.recipe import write_demo
from edgetune.devices.ssh import connect
from edgetune.measure.bench import make_feeds
from edgetune.measure.engines import find_engines
from edgetune.measure.remote import measured_there
from edgetune.measure.scenarios import Scenario
from edgetune.progress import silent
from edgetune.records import BenchSpec
from edgetune.steps.bundle import TOLERANCE

# By default ONNX Runtime computes int8 activations in integers on Arm and in floats on x86, which rounds otherwise.
INTEGER = {"session.qdqisint8allowed": "1"}
SIZE, CLASSES, BATCH = 32, 10, 16
TARGETS = ("arm-cpu", "arm-cpu-nodot")
NETWORKS = {
    "demo": ("edgetune.demo.network:demo_net", True),
    "mobilenet_v2": ("torchvision/mobilenet_v2", False),
    "resnet18": ("torchvision/resnet18", False),
}
RECIPE = """
[model]
name = "{name}"
{weights}
[data]
path = "digits"
image_size = 32
[finetune]
epochs = 1
batch_size = 64
learning_rate = 3e-3
augmentation = "light"
[prune]
ratio = [0.0]
"""


def main(devices: list[str]) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo(folder)
        for network, (factory, has_weights) in NETWORKS.items():
            weights = 'weights = "weights.safetensors"' if has_weights else "pretrained = false"
            (folder / "edgetune.toml").write_text(RECIPE.format(name=factory, weights=weights))
            report = edgetune.build(
                folder, target=TARGETS, run_dir=folder / "runs" / network, cache_dir=folder / "store"
            )
            for target in TARGETS:
                engines = sorted((report.run_dir / "prepared" / target).glob("*.onnx"))
                bundles = [bundle_of(engine, folder / "bundles" / network / target) for engine in engines]
                results = api.bench_on([*engines, *bundles], devices, batch=BATCH)
                cut = integer_part(engines[-1], folder / f"{network}-{target}.onnx")
                for device, result in zip(devices, results, strict=True):
                    rows.append({**row(network, target, device, result), "integer_part": run_on(device, cut)})
                print(json.dumps(rows[-len(devices) :], indent=1), flush=True)
    found = [engine for one in rows for engine in one["engines"]]
    result = {
        "environment": environment(),
        "batch": BATCH,
        "integer_parts_bit_equal": all(one["integer_part"]["bit_equal"] for one in rows),
        "int8_max_relative_difference": worst(found, "bundle-int8"),
        "int8_max_relative_difference_with_defaults": worst(found, "int8"),
        "float_max_relative_difference": max(worst(found, "float"), worst(found, "bundle-float")),
        "rows": rows,
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key not in ("environment", "rows")}, indent=1))


def integer_part(model: Path, cut: Path) -> Path:
    """The model up to its last QuantizeLinear of an activation: everything but a float head."""
    graph = onnx.load(model).graph
    constants = {initializer.name for initializer in graph.initializer}
    last = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in constants][-1]
    onnx.utils.extract_model(str(model), str(cut), ["image"], [last.output[0]])
    return cut


def run_on(address: str, model: Path) -> dict[str, Any]:
    """How far the device's output of ``model``, computed in integers, is from this machine's."""
    with find_engines([model], threads=1) as (plain,), connect(address) as device:
        engine = replace(plain, session={"config": INTEGER})
        feeds = make_feeds([engine], {}, BATCH, 0)
        found = measured_there(device, [engine], feeds, BenchSpec(), Scenario(), 0, silent)
        return found.outputs[engine.name]


def worst(engines: list[dict[str, Any]], name: str) -> float:
    return max(one["relative_difference"] for one in engines if one["name"] == name)


def bundle_of(onnx: Path, under: Path) -> Path:
    """A bundle whose golden outputs come from this machine."""
    folder = under / f"bundle-{onnx.stem}"
    folder.mkdir(parents=True)
    shutil.copyfile(onnx, folder / "engine.onnx")
    content: dict[str, Any] = {
        "name": onnx.stem, "target": under.name, "backend": "onnxruntime",
        "engine": {"file": "engine.onnx", "precision": "int8" if "int8" in onnx.stem else "fp32"},
        "inputs": [signature("image", ["batch", 3, SIZE, SIZE])],
        "outputs": [signature("logits", ["batch", CLASSES])],
        "preprocessing": make_preprocessing(SIZE), "postprocessing": "softmax",
        "labels": [str(digit) for digit in range(CLASSES)],
        "session": {"threads": 1, "graph_optimization": "all", "config": INTEGER},
        "scheme": None, "recipe": {}, "versions": {}, "measured": None, "golden": None,
    }  # fmt: skip
    write_manifest(folder, content)
    inputs = np.random.default_rng(0).standard_normal((4, 3, SIZE, SIZE), dtype=np.float32)
    with Engine.open(folder) as engine:
        outputs = np.concatenate([engine.run(inputs[i : i + 1]) for i in range(len(inputs))])
    write_golden(folder, inputs, outputs)
    atol = float(TOLERANCE["int8" if "int8" in onnx.stem else "fp32"] * max(1.0, float(outputs.std())))  # as in a build
    write_manifest(folder, content | {"golden": {"file": GOLDEN, "atol": atol, "agreement": "top1"}})
    return folder


def row(network: str, target: str, address: str, result: dict[str, Any]) -> dict[str, Any]:
    if "error" in result:
        raise SystemExit(f"{address}: {result['error']}")
    device = {key: result["device"][key] for key in ("name", "cpu", "cpu_features", "os", "emulated")}
    engines = []
    for engine in result["engines"]:
        found = engine["outputs"]
        relative = 0.0 if found["bit_equal"] else found["max_difference"] / found["max_magnitude"]
        plain = {"name": engine["name"], "size_bytes": engine["size_bytes"]}
        engines.append({**plain, **found, "relative_difference": relative})
    return {
        "network": network,
        "target": target,
        "device": device,
        "versions": result["device_versions"],
        "self_tests_passed": sum(engine["name"].startswith("bundle-") for engine in engines),
        "engines": engines,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
