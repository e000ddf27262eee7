"""What every peer is given: the fine-tuned network, its ONNX file, and samples prepared as the device prepares them.

float.onnx        the network as edgetune exports it, inputs [N, 3, S, S] or token ids [N, L]
network/          model.safetensors in the library's own names; of an encoder also config.json and the tokenizer
calibration.npz   "inputs": training samples
validation.npz    "inputs" and "labels"; of texts also "lengths": sentence i is inputs[i, :lengths[i]]
test.npz          the same of the test split; no peer's script opens it
job.json          where the training pictures lie, number of classes, picture size, epochs of recovery
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetune import pipeline
from edgetune.api.building import make_build_plan
from edgetune.data.images import DecodedImages, eval_loader
from edgetune.data.index import DatasetIndex
from edgetune.data.preprocessing import make_preprocessing
from edgetune.data.tokens import load_tokens
from edgetune.models.checkpoint import load_checkpoint
from edgetune.progress import Quiet
from edgetune.records import Plan
from edgetune.store import Store

CALIBRATION = 300  # samples; NNCF's default, the largest of the peers'
SHARED = ("check_data", "tokenize", "finetune", "export")


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """A split: ``inputs`` [N, ...] and labels [N]; texts are ``lengths`` [N] tokens long and padded."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def one(self, number: int) -> NDArray[Any]:
        """Sample ``number`` as an input of an engine, [1, ...]."""
        row = self.inputs[number : number + 1]
        return row if self.lengths is None else row[:, : self.lengths[number]]

    def write(self, path: Path) -> None:
        """As ``.npz``, uncompressed."""
        extra = {} if self.lengths is None else {"lengths": self.lengths}
        np.savez(path, inputs=self.inputs, labels=self.labels, **extra)


def read_samples(path: Path) -> Samples:
    """What ``Samples.write`` wrote."""
    with np.load(path) as arrays:
        return Samples(**arrays)


def prepare(recipe: Path, store: Store, folder: Path) -> None:
    """Write all that peers are given into ``folder``; fine-tune by the recipe if ``store`` has not done so."""
    plan, surroundings = make_build_plan(recipe, "x86-cpu")
    found = pipeline.run(shared_steps(plan), store, surroundings, Quiet())
    paths = {name: outcome.artifact.path for name, outcome in found.items() if outcome.artifact is not None}
    exported = next(path for name, path in paths.items() if name.startswith("export:"))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(exported / "model.onnx", folder / "float.onnx")
    index = replace(
        DatasetIndex.from_json(json.loads((paths["check-data"] / "dataset.json").read_text())), root=surroundings.data
    )
    tokens = next((path for path in paths.values() if (path / "tokens.npz").exists()), None)
    make = text_samples if tokens else image_samples
    for split, samples in make(index, tokens, plan.recipe.data.image_size).items():
        samples.write(folder / f"{split}.npz")
    shutil.copytree(paths["finetune"], folder / "checkpoint", dirs_exist_ok=True)
    write_network(paths["finetune"], tokens, folder / "network")
    job = {
        "data": str(surroundings.data),
        "classes": len(index.labels),
        "image_size": plan.recipe.data.image_size,
        "recovery_epochs": plan.recipe.prune.recovery_epochs,
        "learning_rate": plan.recipe.prune.learning_rate,
        "batch_size": plan.recipe.finetune.batch_size,
    }
    (folder / "job.json").write_text(json.dumps(job, indent=1), encoding="utf-8")


def shared_steps(plan: Plan) -> Plan:
    """Of a build, what comes before compression."""
    steps = [step for step in plan.steps if step.name in SHARED]
    early = tuple(step for step in steps if step.name != "export" or step.inputs["network"] == "finetune")
    return replace(plan, steps=early, candidates=())


def adopt(network: Path, recipe: Path, store: Store) -> None:
    """Put a fine-tuned checkpoint into ``store`` as the result of the recipe's fine-tuning; builds go on from it."""
    plan, surroundings = make_build_plan(recipe, "x86-cpu")
    before = replace(plan, steps=tuple(s for s in plan.steps if s.name in ("check_data", "tokenize")), candidates=())
    outcomes = pipeline.run(before, store, surroundings, Quiet())
    step = next(step for step in plan.steps if step.id == "finetune")

    def body(out: Path, scratch: Path) -> None:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(network / name, out / name)
        if (network / "notes").exists():
            shutil.copytree(network / "notes", out / "notes")

    parents = tuple(o.artifact.key for o in outcomes.values() if o.artifact and o.step.id in step.inputs.values())
    store.make(pipeline._key(step, plan, outcomes), step, parents, body)


def image_samples(index: DatasetIndex, tokens: Path | None, image_size: int) -> dict[str, Samples]:
    """The splits as float32 [N, 3, S, S]; calibration is of training pictures in a shuffled order."""
    images = DecodedImages(index, make_preprocessing(image_size), cache_mb=0)

    def split(name: str, limit: int | None = None, **order: int) -> Samples:
        inputs, labels, have = [], [], 0
        for batch, classes in eval_loader(images, name, batch_size=50, **order):
            inputs.append(batch.numpy())
            labels.append(classes.numpy())
            have += len(classes)
            if limit and have >= limit:
                break
        return Samples(inputs=np.concatenate(inputs), labels=np.concatenate(labels))

    return {
        "calibration": split("train", CALIBRATION, shuffle_seed=0),
        "validation": split("val"),
        "test": split("test"),
    }


def text_samples(index: DatasetIndex, tokens: Path | None, image_size: int) -> dict[str, Samples]:
    """The splits as token ids int64 [N, L] and how long each text is."""
    assert tokens is not None
    texts = load_tokens(tokens / "tokens.npz", index, 0)

    def split(name: str, limit: int | None = None) -> Samples:
        numbers = texts.numbers(name)
        if limit:
            numbers = np.random.default_rng(0).permutation(numbers)[:limit]
        inputs, labels = texts.batch(numbers)
        return Samples(inputs=inputs.numpy(), labels=labels.numpy(), lengths=texts.lengths[numbers])

    return {"calibration": split("train", CALIBRATION), "validation": split("val"), "test": split("test")}


def write_network(checkpoint: Path, tokens: Path | None, folder: Path) -> None:
    """The weights as their library knows them; of an encoder the folder that ``from_pretrained`` reads."""
    folder.mkdir(exist_ok=True)
    if tokens is None:
        shutil.copyfile(checkpoint / "model.safetensors", folder / "model.safetensors")
        return
    from transformers import PreTrainedTokenizerFast

    _, network, _ = load_checkpoint(checkpoint)
    network.encoder.save_pretrained(folder)  # type: ignore[operator,union-attr]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokens / "tokenizer.json"), pad_token="[PAD]")
    tokenizer.save_pretrained(folder)
