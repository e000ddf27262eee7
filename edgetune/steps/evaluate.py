"""Run the engine over the validation and test splits, through the runtime that the device uses."""

import json
from typing import Any

import numpy as np
from edgetune_runtime import Engine

from edgetune.data.images import eval_loader
from edgetune.hashing import canonical_json
from edgetune.measure.metrics import classification_metrics
from edgetune.steps.context import StepContext
from edgetune.steps.examples import decoded_images, load_index

BATCH = 32


def run(context: StepContext) -> None:
    """Write ``logits.npz`` ({split}_logits [N, K], {split}_labels [N]) and ``metrics.json`` by split."""
    engine_dir = context.inputs["engine"] / "engine"
    manifest = json.loads((engine_dir / "manifest.json").read_text(encoding="utf-8"))
    images = decoded_images(context, manifest["preprocessing"]["crop"][0])
    total = sum(len(load_index(context).split(split)) for split in ("val", "test"))
    arrays: dict[str, Any] = {}
    done = 0
    with Engine.open(engine_dir) as engine:
        for split in ("val", "test"):
            logits, labels = [], []
            for batch, truth in eval_loader(images, split, batch_size=BATCH):
                logits.append(engine.run(batch.contiguous().numpy()))
                labels.append(truth.numpy())
                done += len(truth)
                context.tick(done, total, split)
            arrays[f"{split}_logits"], arrays[f"{split}_labels"] = np.concatenate(logits), np.concatenate(labels)
    np.savez(context.out / "logits.npz", **arrays)
    found = {
        split: classification_metrics(arrays[f"{split}_logits"], arrays[f"{split}_labels"]) for split in ("val", "test")
    }
    (context.out / "metrics.json").write_text(canonical_json(found), encoding="utf-8")
