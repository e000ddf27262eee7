"""ONNX -> an engine in the form of a bundle, run once in a fresh process before it counts as built."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime import Engine
from torch import Tensor

from edgetune.bundle.manifest import read_manifest, signature, write_manifest
from edgetune.data.preprocessing import NORMALISATION, make_pixel_preprocessing, make_preprocessing
from edgetune.errors import BackendError
from edgetune.export.parity import check_engine_parity
from edgetune.hashing import canonical_json
from edgetune.measure.remote import decoded, folder_files
from edgetune.steps.context import StepContext
from edgetune.steps.evaluate import SECONDS_PER_SAMPLE, batches
from edgetune.steps.tensorrt_engine import ONNX, build
from edgetune.steps.texts import TOKENIZER, preprocessing
from edgetune.surroundings import load_backend

TRIAL = """
import sys, numpy as np
from edgetune_runtime import Engine, RuntimeProblem
try:
    with Engine.open(sys.argv[1]) as engine:
        p = engine.preprocessing
        for size in (1, 2):
            if not np.isfinite(engine.run(p.example(size))).all():
                sys.exit("it gives NaN or infinity")
except (RuntimeProblem, RuntimeError) as problem:
    sys.exit(str(problem))
"""
TRIAL_SECONDS = 300
PARITY_BATCHES = {"image": 2, "text": 64}  # texts come one at a time
# Of the outputs' spread: float engines of two libraries differ by their order of additions, those of float16 by
# roundings too; INT8 ones round otherwise, and their accuracy is measured.
PARITY = {"fp32": 1e-3, "fp16": 0.05}


def run(context: StepContext) -> None:
    """Write ``engine/``: the engine and its manifest (without golden outputs and measurements)."""
    params = context.params
    dataset = json.loads((context.inputs["dataset"] / "dataset.json").read_text(encoding="utf-8"))
    labels = dataset["labels"]
    folder = context.out / "engine"
    folder.mkdir()
    inputs = _inputs(context, folder)
    file, session, versions = _compiled(context, folder, inputs["inputs"][0])
    write_manifest(
        folder,
        {
            "name": f"{params['target']}-{params['precision']}",
            "target": params["target"],
            "backend": params["backend"],
            "engine": {"file": file, "precision": params["precision"], **_inside(params)},
            **inputs,
            "outputs": [signature("logits", ["batch", len(labels)])],
            "postprocessing": "softmax",
            "labels": labels,
            "session": session,
            "scheme": params["scheme"],
            "recipe": {},
            "versions": versions,
            "measured": None,
            "golden": None,
        },
    )
    if context.device is not None:
        job = {"kind": "check", "bundle": "b", "backend": params["backend"]}
        context.device.do(job, folder_files(folder, "b"), limit_seconds=TRIAL_SECONDS)
        if params["backend"] == "tensorrt":
            _check_parity(context, folder)
        return
    trial = subprocess.run(
        [sys.executable, "-c", TRIAL, str(folder)], capture_output=True, text=True, timeout=TRIAL_SECONDS
    )
    if trial.returncode:
        reason = (trial.stderr.strip() or f"exit code {trial.returncode}").splitlines()[-1]
        raise BackendError(
            f"the {params['precision']} engine does not run: {reason}",
            hint=f"{params['backend']} refuses this network in this precision; another candidate will be chosen",
        )
    if params["backend"] != "onnxruntime":  # with it the file was held against torch when it was exported
        _check_parity(context, folder)


def _compiled(
    context: StepContext, folder: Path, signature: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """(the engine's file in ``folder``, the manifest's session, the versions of what runs the engine)."""
    params = context.params
    if params["backend"] == "tensorrt":
        return ONNX, *build(context, folder, signature)
    backend = load_backend(params["backend"])
    session = backend.compile(
        context.inputs["onnx"] / "model.onnx",
        folder,
        threads=params["threads"],
        options=params["backend_options"],
        **({"min_runtime": params["min_runtime"]} if "min_runtime" in params else {}),
    )
    (file,) = folder.glob("engine.*")
    return file.name, session, backend.versions() if context.device is None else context.device.about()["versions"]


def _check_parity(context: StepContext, folder: Path) -> None:
    """Hold the engine's outputs for validation samples against the same file's in ONNX Runtime.

    Raises:
        BackendError: a float engine computes something else, or any gives what is no number.
    """
    manifest = read_manifest(folder)
    samples = (inputs for inputs, _ in batches(context, manifest, "val"))
    count = PARITY_BATCHES[manifest["preprocessing"]["kind"]]
    file = context.inputs["onnx"] / "model.onnx"
    if context.device is None:
        with Engine.open(folder) as engine:
            parity = check_engine_parity(file, lambda inputs: engine.run(inputs.numpy()), islice(samples, count))
    else:
        parity = check_engine_parity(file, lambda inputs: _there(context, folder, inputs), islice(samples, count))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    precision = manifest["engine"]["precision"]
    far = parity["max_difference"] > PARITY.get(precision, math.inf) * max(1.0, parity["output_scale"])
    if not math.isfinite(parity["max_difference"]) or far:
        raise BackendError(
            f"the {precision} engine's outputs differ from ONNX Runtime's by up to "
            f"{parity['max_difference']:.2g}, their spread is {parity['output_scale']:.2g}",
            hint=f"{manifest['backend']} computes this network otherwise; build for a target with another backend",
        )


def _there(context: StepContext, folder: Path, inputs: Tensor) -> Any:
    """Outputs of the bundle in ``folder`` on the device."""
    assert context.device is not None
    path, parts = context.scratch / "parity.npy", []
    np.save(path, inputs.numpy())
    context.device.do(
        {"kind": "logits", "bundle": "b", "backend": context.params["backend"], "inputs": [path.name], "batch": 32},
        {**folder_files(folder, "b"), path.name: path},
        limit_seconds=TRIAL_SECONDS + SECONDS_PER_SAMPLE * len(inputs),
        part=lambda part: parts.append(decoded(part)),
    )
    return np.concatenate(parts)


def _inside(params: Mapping[str, Any]) -> dict[str, Any]:
    """What of the preprocessing the engine does itself; nobody has to do it again."""
    if "input" not in params:
        return {}
    description = make_preprocessing(params["image_size"])
    return {"normalisation": {key: description[key] for key in NORMALISATION}}


def _inputs(context: StepContext, folder: Path) -> dict[str, Any]:
    """How a picture or a text becomes the engine's input; a tokenizer is put into ``folder``."""
    if "tokens" in context.inputs:
        shutil.copyfile(context.inputs["tokens"] / TOKENIZER, folder / TOKENIZER)
        return {
            "inputs": [signature("input_ids", ["batch", "length"], "int64")],
            "preprocessing": preprocessing(context),
        }
    size = context.params["image_size"]
    if "input" in context.params:
        return {
            "inputs": [signature("image", ["batch", size, size, 3], "uint8")],
            "preprocessing": make_pixel_preprocessing(size),
        }
    return {"inputs": [signature("image", ["batch", 3, size, size])], "preprocessing": make_preprocessing(size)}
