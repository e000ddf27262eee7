"""What an engine costs on an x86 processor: loading, the first inference, steady latency on 1 and 2 threads, memory.

    python benchmarks/devices/x86_table.py [--quick]

MobileNetV2, MobileNetV3-Large, EfficientNet-B0 (160 px) and ResNet-18 (224 px) of torchvision, with random weights,
fine-tuned for one epoch on the demo's handwritten digits and built for x86-cpu: the float engine and the one the build
chose, which here is the fastest that is proven faster than float, since the budget allows any drop. The table is
about time and memory; the accuracy of networks that were trained is in clothing10.json. Times of both engines are from
one session, interleaved, with `edgetune bench`; loading, first inference and peak memory from fresh processes.

Then settings of ONNX Runtime's memory and the engine's format, one line each, on MobileNetV2's two engines: the
arena, memory patterns, prepacked weights, spinning threads, ONNX Runtime's own format. ``relative_difference`` is how
far outputs are from those of the defaults, in spreads of the outputs.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from common import save
from edgetune_runtime import Engine

import edgetune
from edgetune import api
from edgetune.backends.ort_format import convert
from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.demo.recipe import write_demo
from edgetune.records import BenchSpec

NETWORKS = {"mobilenet_v2": 160, "mobilenet_v3_large": 160, "efficientnet_b0": 160, "resnet18": 224}
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
RECIPE = """
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
[budget]
max_accuracy_drop = 100.0
[bench]
min_seconds = {seconds}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="see the module's docstring")
    parser.add_argument("--quick", action="store_true", help="MobileNetV2 at 64 px and short runs; not for the README")
    options = parser.parse_args()
    networks = {"mobilenet_v2": 64} if options.quick else NETWORKS
    seconds = 0.3 if options.quick else 2.0
    rows, settings = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo(folder)
        for network, size in networks.items():
            pair = built(network, size, folder, seconds)
            rows += measured(network, size, pair, seconds)
            print(json.dumps(rows[-len(THREADS) :], indent=1), flush=True)
            if not settings:
                settings = with_settings(pair, folder / "settings", seconds)
                print(json.dumps(settings, indent=1), flush=True)
    save("x86_table" + ("_quick" if options.quick else ""), {"rows": rows, "settings": settings})


def built(network: str, size: int, folder: Path, seconds: float) -> dict[str, Path]:
    """The bundles' folders of the float engine and of the chosen one."""
    (folder / "edgetune.toml").write_text(RECIPE.format(network=network, size=size, seconds=seconds))
    store, run = folder / f"store-{network}", folder / "runs" / network
    report = edgetune.build(folder, target="x86-cpu", run_dir=run, cache_dir=store)
    chosen = report.data["targets"][0]["chosen"]
    places = {"float": folder / network / "float", f"chosen: {chosen}": folder / network / "chosen"}
    for engine in store.glob("objects/*/engine"):
        if read_manifest(engine)["engine"]["precision"] == "fp32":
            shutil.copytree(engine, places["float"])
    shutil.copytree(run / "bundles/x86-cpu", places[f"chosen: {chosen}"])
    return places


def measured(network: str, size: int, pair: dict[str, Path], seconds: float) -> list[dict[str, Any]]:
    """A row for each number of threads."""
    found = []
    for threads in THREADS:
        result = api.bench(list(pair.values()), spec=BenchSpec(threads=threads, min_seconds=seconds))
        engines = [summary(one, name) for one, name in zip(result["engines"], pair, strict=True)]
        row = {"network": network, "image_size": size, "threads": threads, "noise": result["noise"]}
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
