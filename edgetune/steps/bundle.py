"""The chosen engine with what the device needs: golden outputs, labels, preprocessing, measured numbers."""

import json
import shutil
from typing import Any

import numpy as np
from edgetune_runtime import Engine
from edgetune_runtime.drift import make_baseline
from edgetune_runtime.preprocessing import make_preprocessing

from edgetune.bundle.manifest import read_manifest, write_manifest
from edgetune.bundle.pack import GOLDEN, pack_tar, write_golden
from edgetune.measure.remote import PATIENCE_SECONDS, decoded, folder_files
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.evaluate import batches

GOLDEN_SAMPLES = 3
# Of the outputs' spread: other kernels round otherwise.
TOLERANCE = {"fp32": 1e-3, "fp16": 0.02, "int8": 0.05, "int8-weights": 1e-3, "int4-weights": 0.05}


def run(context: StepContext) -> None:
    """Write ``bundle/`` and ``bundle.tar``."""
    selected = json.loads((context.inputs["select"] / "target.json").read_text(encoding="utf-8"))["entry"]
    name = selected["chosen"]
    chosen = next(candidate for candidate in selected["candidates"] if candidate["name"] == name)
    source = context.inputs[f"engine:{name}"] / "engine"
    folder = context.out / "bundle"
    shutil.copytree(source, folder)
    manifest = read_manifest(folder)
    inputs, outputs = _golden(context, source)
    write_golden(folder, inputs, outputs)
    content = {key: value for key, value in manifest.items() if key not in ("schema", "files")}
    content |= {
        "name": name,
        "recipe": context.params["recipe"],
        "temperature": selected["calibration"]["temperature"],
        "drift": _drift(context, name, manifest, selected["calibration"]["temperature"]),
        "measured": _measured(chosen, selected["device"]),
        "golden": {
            "file": GOLDEN,
            "atol": float(TOLERANCE[chosen["precision"]] * max(1.0, float(outputs.std()))),
            "agreement": "top1",
        },
    }
    write_manifest(folder, content)
    if context.device is None:
        Engine.open(folder).close()  # verifies and runs the self-test, as the device will
    else:
        job = {"kind": "check", "bundle": "b", "backend": manifest["backend"]}
        context.device.do(job, folder_files(folder, "b"), limit_seconds=PATIENCE_SECONDS)
    pack_tar(folder, context.out / "bundle.tar")


def _golden(context: StepContext, engine_dir: Any) -> tuple[Any, Any]:
    """Inputs of a few test samples of different classes and the engine's outputs for them."""
    index = load_index(context)
    seen: dict[int, Any] = {}
    for sample in index.split("test"):
        seen.setdefault(sample.label, index.root / sample.path if sample.text is None else sample.text)
    samples = list(seen.values())[:GOLDEN_SAMPLES]
    manifest = read_manifest(engine_dir)
    preprocessing = make_preprocessing(manifest["preprocessing"], engine_dir)
    inputs = (
        preprocessing(samples) if isinstance(samples[0], str) else np.concatenate(list(map(preprocessing, samples)))
    )
    if context.device is None:
        with Engine.open(engine_dir) as engine:
            return inputs, np.concatenate([engine.run(inputs[i : i + 1]) for i in range(len(inputs))])
    np.save(context.scratch / "golden.npy", inputs)
    files, parts = {**folder_files(engine_dir, "b"), "golden.npy": context.scratch / "golden.npy"}, []
    context.device.do(
        {"kind": "logits", "bundle": "b", "backend": manifest["backend"], "inputs": ["golden.npy"], "batch": 1},
        files,
        limit_seconds=PATIENCE_SECONDS,
        part=lambda part: parts.append(decoded(part)),
    )
    return inputs, np.concatenate(parts)


def _drift(context: StepContext, name: str, manifest: dict[str, Any], temperature: float) -> dict[str, Any]:
    """What the engine answered on validation, and of what inputs: the baseline of ``edgetune_runtime.drift``."""
    with np.load(context.inputs[f"evaluate:{name}"] / "logits.npz", allow_pickle=False) as arrays:
        logits = arrays["val_logits"].astype(np.float64) / temperature
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    confidences = probabilities.max(1) / probabilities.sum(1)
    preprocessing = make_preprocessing(manifest["preprocessing"], context.out / "bundle")
    levels = [
        level for inputs, _ in batches(context, manifest, "val") for level in preprocessing.levels(inputs.numpy())
    ]
    baseline: dict[str, Any] = make_baseline(confidences.tolist(), logits.argmax(1).tolist(), levels)
    return baseline


def _measured(chosen: dict[str, Any], device: dict[str, Any]) -> dict[str, Any]:
    keys = ("metrics", "accuracy_change", "latency_ms", "speedup", "size_bytes", "peak_rss_bytes")
    numbers = {key: chosen[key] for key in keys}
    numbers["latency_ms"] = {key: value for key, value in numbers["latency_ms"].items() if key != "histogram"}
    return {**numbers, "device": device}
