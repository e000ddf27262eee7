"""Training on an NVIDIA GPU, for real: `pytest -m gpu`. Elsewhere these tests are skipped."""

import json
from pathlib import Path

import pytest
import torch
from small_text import write_encoder, write_texts

import edgetune
from edgetune.store import Store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU, and `pytest -m gpu`"),
]


def notes(store: Path, step: str) -> list[dict]:
    """What trainings of ``step`` noted, of all there are in ``store``."""
    made = [entry for entry in Store(store).entries() if entry.name == step]
    return [json.loads((store / "objects" / entry.key / "notes/training.json").read_text()) for entry in made]


def with_finetune(project: Path, lines: str, rest: str = "") -> Path:
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("epochs = 6\n", f"epochs = 6\n{lines}\n")
    recipe.write_text(text.replace("ratio = [0.0, 0.5]", "ratio = [0.0]") + rest)
    return recipe


def accuracy(report) -> float:
    return report.data["targets"][0]["baseline"]["metrics"]["accuracy"]


@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_each_precision_learns(project, precision):
    report = edgetune.build(with_finetune(project, f'precision = "{precision}"'), target="x86-cpu")
    (trained,) = notes(project / "store", "finetune")
    assert trained["device"] == "cuda"
    assert trained["precision"] == {"auto": "bf16"}.get(precision, precision)
    assert accuracy(report) > 0.8


@pytest.mark.parametrize(
    "lines",
    [
        'strategy = "partial"\nstages = 2',
        'strategy = "gradual"',
        'strategy = "feature-extraction"',
        'imbalance = "weights"\nclip_norm = 1.0\nmicro_batch = 5',
        "mixup = 0.2\ncutmix = 1.0\nema = 0.9",
        'layer_decay = 0.7\nl2_sp = 0.1\nbatch_norm = "frozen"\npatience = 3',
    ],
)
def test_each_strategy_and_option_trains(project, lines):
    edgetune.build(with_finetune(project, lines), target="x86-cpu")
    (trained,) = notes(project / "store", "finetune")
    assert trained["device"] == "cuda"
    assert trained["history"][-1]["train_loss"] < trained["history"][0]["train_loss"]


def test_the_whole_job_with_pruning_and_quantized_training(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(
        recipe.read_text()
        .replace("recovery_epochs = 2", "recovery_epochs = 2\nstep_epochs = 1")
        .replace('mode = "ptq"', 'mode = "qat"\nepochs = 1')
    )
    report = edgetune.build(recipe, target="x86-cpu")
    candidates = {one["name"]: one for one in report.data["targets"][0]["candidates"]}
    assert {"float", "int8", "int8-qat", "pruned-50", "pruned-50-int8", "pruned-50-int8-qat"} <= set(candidates)
    assert all(one["status"] == "measured" for one in candidates.values())
    assert candidates["int8-qat"]["metrics"]["accuracy"] > 0.8


def test_labels_are_checked_and_folds_trained(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(
        recipe.read_text()
        .replace('path = "shapes"', 'path = "shapes"\ncheck_labels = true\nfolds = 3')
        .replace("ratio = [0.0, 0.5]", "ratio = [0.0]")
    )
    report = edgetune.build(recipe, target="x86-cpu")
    assert len(report.data["cross_validation"]["folds"]) == 3


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_an_encoder_learns(tmp_path, monkeypatch, strategy):
    monkeypatch.setenv("EDGETUNE_CACHE", str(tmp_path / "store"))
    write_texts(tmp_path / "texts", splits={"train": 60, "val": 20, "test": 30})
    write_encoder(tmp_path / "encoder")
    recipe = tmp_path / "edgetune.toml"
    recipe.write_text(
        '[model]\nname = "transformers/bert"\nweights = "encoder"\n[data]\npath = "texts"\nmax_length = 24\n'
        f'[finetune]\nstrategy = "{strategy}"\nepochs = 8\nlearning_rate = 0.01\n'
        '[prune]\ntarget_speedup = [1.2]\nrecovery_epochs = 1\n[quantize]\nmode = "qat"\nepochs = 1\n'
        "[bench]\nmin_runs = 20\nmin_seconds = 0.05\n"
    )
    report = edgetune.build(recipe, target="x86-cpu")
    (trained,) = notes(tmp_path / "store", "finetune")
    assert (trained["device"], trained["precision"]) == ("cuda", "bf16")
    assert len(notes(tmp_path / "store", "qat_dynamic")) == 2  # of the whole network and the pruned one
    assert trained["history"][-1]["train_loss"] < trained["history"][0]["train_loss"]
    assert strategy == "lora" or accuracy(report) > 0.6
