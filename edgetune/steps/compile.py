"""ONNX -> an engine in the form of a bundle, run once in a fresh process before it counts as built."""

import json
import subprocess
import sys

from edgetune.bundle.manifest import signature, write_manifest
from edgetune.data.preprocessing import make_preprocessing
from edgetune.errors import BackendError
from edgetune.measure.remote import folder_files
from edgetune.steps.context import StepContext
from edgetune.surroundings import load_backend

TRIAL = """
import sys, numpy as np
from edgetune_runtime import Engine, RuntimeProblem
try:
    with Engine.open(sys.argv[1]) as engine:
        p = engine.preprocessing
        pixels = np.random.default_rng(0).integers(0, 255, (2, p.height, p.width, 3), dtype=np.uint8)
        for batch in (pixels[:1], pixels):
            if not np.isfinite(engine.run(p.normalise(batch))).all():
                sys.exit("it gives NaN or infinity")
except (RuntimeProblem, RuntimeError) as problem:
    sys.exit(str(problem))
"""
TRIAL_SECONDS = 300


def run(context: StepContext) -> None:
    """Write ``engine/``: the engine and its manifest (without golden outputs and measurements)."""
    params = context.params
    dataset = json.loads((context.inputs["dataset"] / "dataset.json").read_text(encoding="utf-8"))
    labels, size = dataset["labels"], params["image_size"]
    folder = context.out / "engine"
    folder.mkdir()
    backend = load_backend(params["backend"])
    session = backend.compile(
        context.inputs["onnx"] / "model.onnx", folder, threads=params["threads"], options=params["backend_options"]
    )
    write_manifest(
        folder,
        {
            "name": f"{params['target']}-{params['precision']}",
            "target": params["target"],
            "backend": params["backend"],
            "engine": {"file": "engine.onnx", "precision": params["precision"]},
            "inputs": [signature("image", ["batch", 3, size, size])],
            "outputs": [signature("logits", ["batch", len(labels)])],
            "preprocessing": make_preprocessing(size),
            "postprocessing": "softmax",
            "labels": labels,
            "session": session,
            "scheme": params["scheme"],
            "recipe": {},
            "versions": backend.versions() if context.device is None else context.device.about()["versions"],
            "measured": None,
            "golden": None,
        },
    )
    if context.device is not None:
        context.device.do({"kind": "check", "bundle": "b"}, folder_files(folder, "b"), limit_seconds=TRIAL_SECONDS)
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
