"""One fold of a cross-validation: fine-tune on the others as the recipe says, then judge the network on this one."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from edgetune.data.folds import fold_index
from edgetune.data.images import eval_loader
from edgetune.data.tokens import eval_batches, save_tokens
from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.precision import choose_compute
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec
from edgetune.steps import finetune
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.examples import EVAL_BATCH, decoded_images
from edgetune.steps.folds import FOLDS
from edgetune.steps.texts import TOKENS, load_texts


def run(context: StepContext) -> None:
    """Write ``fold.json``: samples learned from and held out, and how many of these the float network got right."""
    context = replace(context, inputs={**context.inputs, **_splits(context)})
    spec, network, notes = finetune.learn(context)
    device = choose_compute("fp32").device
    accuracy, loss = evaluate(network.to(device), _held_out(context, spec), device)
    index = load_index(context)
    samples = len(index.split("test"))
    content = {
        "fold": context.params["fold"],
        "trained_on": len(index.split("train")),
        "samples": samples,
        "right": round(accuracy * samples),
    }
    (context.out / "fold.json").write_text(canonical_json(content), encoding="utf-8")
    context.note("training.json").write_text(canonical_json({**notes, "held_out_loss": loss}), encoding="utf-8")


def _splits(context: StepContext) -> dict[str, Path]:
    """The fold's dataset (and tokens) in the forms of the steps that make them, in ``scratch``."""
    folds = json.loads((context.inputs["folds"] / FOLDS).read_text(encoding="utf-8"))
    index, kept = fold_index(
        load_index(context),
        folds,
        context.params["fold"] - 1,
        val_fraction=context.params["val_fraction"],
        seed=context.seed,
    )
    made = {"dataset": context.scratch / "dataset"}
    made["dataset"].mkdir(exist_ok=True)
    content = {**index.to_json(), "root": "."}
    (made["dataset"] / "dataset.json").write_text(canonical_json(content), encoding="utf-8")
    if "tokens" in context.inputs:
        made["tokens"] = context.scratch / "tokens"
        shutil.copytree(context.inputs["tokens"], made["tokens"], dirs_exist_ok=True)
        texts = load_texts(context)
        save_tokens([texts[position].tolist() for position in kept], made["tokens"] / TOKENS)
    return made


def _held_out(context: StepContext, spec: NetworkSpec) -> Iterable[tuple[Tensor, Tensor]]:
    """The fold itself, as the device will see it."""
    if spec.image_size is None:
        return eval_batches(load_texts(context), "test", batch_size=EVAL_BATCH)
    return eval_loader(decoded_images(context, spec.image_size), "test", batch_size=EVAL_BATCH)
