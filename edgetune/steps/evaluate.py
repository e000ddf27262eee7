"""Run the engine over the validation and test splits, through the runtime that the device uses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime import Engine
from torch import Tensor

from edgetune.data.images import eval_loader, pixel_loader
from edgetune.data.tokens import save_tokens
from edgetune.devices.protocol import Device
from edgetune.hashing import canonical_json
from edgetune.measure.metrics import classification_metrics
from edgetune.measure.remote import PATIENCE_SECONDS, decoded, folder_files
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.examples import decoded_images
from edgetune.steps.texts import load_texts

BATCH = 32
SECONDS_PER_SAMPLE = 10.0  # on a device: far more than any needs, so that only one that is stuck is ended


def run(context: StepContext) -> None:
    """Write ``logits.npz`` ({split}_logits [N, K], {split}_labels [N]) and ``metrics.json`` by split.

    A search and the controller's rungs have ``splits`` in its parameters, so that nothing of the test split is read.
    """
    engine_dir = context.inputs["engine"] / "engine"
    manifest = json.loads((engine_dir / "manifest.json").read_text(encoding="utf-8"))
    arrays = _here(context, engine_dir, manifest) if context.device is None else _there(context, engine_dir, manifest)
    np.savez(context.out / "logits.npz", **arrays)
    found = {
        split: classification_metrics(arrays[f"{split}_logits"], arrays[f"{split}_labels"])
        for split in _splits(context)
    }
    (context.out / "metrics.json").write_text(canonical_json(found), encoding="utf-8")


def _splits(context: StepContext) -> tuple[str, ...]:
    return tuple(context.params.get("splits", ("val", "test")))


def _here(context: StepContext, engine_dir: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    total = sum(len(load_index(context).split(split)) for split in _splits(context))
    arrays: dict[str, Any] = {}
    done = 0
    with Engine.open(engine_dir) as engine:
        for split in _splits(context):
            logits, labels = [], []
            for batch, truth in batches(context, manifest, split):
                logits.append(engine.run(batch.contiguous().numpy()))
                labels.append(truth.numpy())
                done += len(truth)
                context.tick(done, total, split)
            arrays[f"{split}_logits"], arrays[f"{split}_labels"] = np.concatenate(logits), np.concatenate(labels)
    return arrays


def batches(context: StepContext, manifest: dict[str, Any], split: str) -> Iterator[tuple[Tensor, Tensor]]:
    """What the engine is given, in the order of the index; texts one at a time, unpadded, as the device has them.

    Ranges of dynamically quantized layers are taken over a whole batch, so that others in it would change the answer.
    """
    if manifest["preprocessing"]["kind"] == "image":
        images = decoded_images(context, manifest["preprocessing"]["crop"][0])
        loader = pixel_loader if manifest["preprocessing"]["layout"] == "NHWC" else eval_loader
        yield from loader(images, split, batch_size=BATCH)
        return
    texts = load_texts(context)
    for number in texts.numbers(split):
        yield texts.batch([int(number)])


def _there(context: StepContext, engine_dir: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """The same on the device: it gets pixels, which are a quarter of floats, and normalises them there.

    Of texts it gets the tokens, so that it needs no tokenizer.
    """
    assert context.device is not None
    if manifest["preprocessing"]["kind"] == "text":
        return _texts_there(context, context.device, engine_dir)
    images = decoded_images(context, manifest["preprocessing"]["crop"][0])
    files, arrays = folder_files(engine_dir, "b"), {}
    splits = _splits(context)
    for split in splits:
        numbers = images.numbers(split).tolist()
        files[f"{split}.npy"] = context.scratch / f"{split}.npy"
        np.save(files[f"{split}.npy"], np.stack([images.preprocessing.crop(images[number]) for number in numbers]))
        arrays[f"{split}_labels"] = np.asarray([images.index.samples[number].label for number in numbers])
    inputs = {"backend": manifest["backend"], "pixels": [f"{split}.npy" for split in splits]}
    return _logits_there(context, context.device, inputs, files, arrays)


def _texts_there(context: StepContext, device: Device, engine_dir: Path) -> dict[str, Any]:
    texts, splits = load_texts(context), _splits(context)
    files, arrays = folder_files(engine_dir, "b"), {}
    for split in splits:
        numbers = texts.numbers(split)
        files[f"{split}.npz"] = context.scratch / f"{split}.npz"
        save_tokens([texts[int(number)].tolist() for number in numbers], files[f"{split}.npz"])
        arrays[f"{split}_labels"] = np.asarray([texts.index.samples[int(number)].label for number in numbers])
    return _logits_there(context, device, {"tokens": [f"{split}.npz" for split in splits]}, files, arrays)


def _logits_there(
    context: StepContext, device: Device, inputs: dict[str, Any], files: dict[str, Path], labels: dict[str, Any]
) -> dict[str, Any]:
    """The arrays of all splits; ``inputs`` names the files with their samples, ``labels`` are known."""
    parts: list[Any] = []
    device.do(
        {"kind": "logits", "bundle": "b", "batch": BATCH, **inputs},
        files,
        limit_seconds=PATIENCE_SECONDS + SECONDS_PER_SAMPLE * sum(map(len, labels.values())),
        progress=context.tick,
        part=lambda part: parts.append(decoded(part)),
    )
    splits = _splits(context)
    ends = np.cumsum([len(labels[f"{split}_labels"]) for split in splits])[:-1]
    logits = zip(splits, np.split(np.concatenate(parts), ends), strict=True)
    (context.out / "device.json").write_text(canonical_json(_device(device)), encoding="utf-8")
    return {**{f"{split}_logits": values for split, values in logits}, **labels}


def _device(device: Device) -> dict[str, Any]:
    about = device.about()
    return {**about["device"], "name": device.name, "versions": about["versions"]}
