"""Fine-tuning as a step of a build: every option from the recipe to the checkpoint and its notes."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_text import write_encoder, write_texts
from tiny_network import tiny

from edgetune import pipeline
from edgetune.api.building import make_build_plan
from edgetune.errors import RecipeError, TrainingError, WeightsError
from edgetune.models.checkpoint import load_checkpoint
from edgetune.models.text_classifier import make_text_classifier, read_config
from edgetune.progress import Quiet
from edgetune.store import Store


def finetune(project: Path, options: str = "") -> tuple[dict, torch.nn.Module]:
    """(notes, network) of the first two steps of a build."""
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 6\n", f"epochs = 2\n{options}\n", 1))
    plan, surroundings = make_build_plan(recipe, None)
    plan = replace(plan, steps=plan.steps[:2], candidates=())
    outcomes = pipeline.run(plan, Store(project / "store"), surroundings, Quiet())
    folder = outcomes["finetune"].artifact.path
    return json.loads((folder / "notes/training.json").read_text()), load_checkpoint(folder, project)[1]


@pytest.mark.parametrize(
    "options",
    [
        'strategy = "partial"\nstages = 2\nlayer_decay = 0.8',
        'strategy = "gradual"\nbatch_norm = "frozen"\nl2_sp = 0.01',
        'mixup = 0.2\ncutmix = 1.0\nema = 0.99\nimbalance = "weights"',
        'imbalance = "sampling"\nmicro_batch = 4\nclip_norm = 1.0\npatience = 1',
        'strategy = "feature-extraction"',
    ],
)
def test_every_option_makes_an_ordinary_checkpoint(project, options):
    notes, network = finetune(project, options)
    assert notes["reason"] == "as the recipe says"
    assert notes["strategy"] == tomllib.loads(options).get("strategy", "full")
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 40, 40)).shape == (2, 3)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert all(row["val_accuracy"] >= 0 and "seconds" in row for row in notes["history"])


def test_weights_that_are_no_numbers_are_refused_before_training(project):
    network = tiny(3)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = torch.nan
    save_file(network.state_dict(), project / "diverged.safetensors")
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("pretrained = false", 'weights = "diverged.safetensors"'))
    with pytest.raises(WeightsError, match=r"diverged\.safetensors has NaN or infinite weights: "):
        finetune(project)


def test_lora_on_a_network_of_convolutions_is_refused(project):
    with pytest.raises(TrainingError, match="attention"):
        finetune(project, 'strategy = "lora"')


@pytest.mark.parametrize(("line", "says"), [("lora_rank = 0", "from 1 to 1024"), ("lora_alpha = 0.0", "above 0")])
def test_impossible_values_are_refused(project, line, says):
    with pytest.raises(RecipeError, match=says):
        finetune(project, f'strategy = "lora"\n{line}')


def test_lora_leaves_the_checkpoint_of_a_plain_encoder(tmp_path):
    write_encoder(tmp_path / "encoder")
    write_texts(tmp_path / "texts", splits={"train": 20, "val": 5, "test": 5})
    options = '[finetune]\nstrategy = "lora"\nepochs = 1\nlearning_rate = 1e-2\nlora_rank = 2'
    recipe = tmp_path / "edgetune.toml"
    recipe.write_text(
        f'[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\nmax_length = 24\n{options}'
    )
    plan, surroundings = make_build_plan(recipe, None)
    plan = replace(plan, steps=plan.steps[:3], candidates=())
    folder = pipeline.run(plan, Store(tmp_path / "store"), surroundings, Quiet())["finetune"].artifact.path
    _, network, _ = load_checkpoint(folder)
    plain = make_text_classifier(3, read_config(str(tmp_path / "encoder")))
    assert [(n, type(m)) for n, m in network.named_modules()] == [(n, type(m)) for n, m in plain.named_modules()]
    before, after = load_file(tmp_path / "encoder/model.safetensors"), network.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[f"encoder.bert.{key}"])}
    assert {key.split(".")[-2] for key in moved if "pooler" not in key} == {"query", "value"}
    assert json.loads((folder / "notes/training.json").read_text())["strategy"] == "lora"


def test_auto_says_why(project):
    notes, _ = finetune(project, 'strategy = "auto"')
    assert notes["strategy"] == "full" and "random weights" in notes["reason"]


def few_images(project):
    """A pretrained network's weights, and eight training images of each class."""
    torch.manual_seed(5)
    before = tiny(7).state_dict()
    save_file(before, project / "old.safetensors")
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("pretrained = false", 'weights = "old.safetensors"'))
    for place in (project / "shapes/train").iterdir():
        for path in sorted(place.iterdir())[8:]:
            path.unlink()
    return before


def unchanged(before, network):
    after = network.state_dict()
    return {
        name for name in before if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    }


def test_auto_keeps_most_of_a_pretrained_network_on_few_images(project):
    """Frozen features and the last of three stages are both tried; whichever validation prefers is what is left."""
    before = few_images(project)
    notes, network = finetune(project, 'strategy = "auto"')
    reason = notes["reason"]
    assert "the last 1 of 3 stages" in reason
    told = re.search(r"on validation it got ([\d.]+)%, a head on frozen features ([\d.]+)%", reason)
    frozen_won = float(told[2]) > float(told[1])
    assert notes["strategy"] == ("feature-extraction" if frozen_won else "partial")
    assert ("frozen features are kept" in reason) == frozen_won
    stage = {name for name in before if 3 <= int(name.split(".")[0]) < 6}
    assert unchanged(before, network) >= {name for name in before if int(name.split(".")[0]) < 3}
    assert (unchanged(before, network) >= stage) == frozen_won


def test_auto_trains_nothing_for_which_the_budget_has_no_time(project):
    before = few_images(project)
    (project / "edgetune.toml").write_text((project / "edgetune.toml").read_text() + "[budget]\nmax_hours = 1e-7\n")
    notes, network = finetune(project, 'strategy = "auto"')
    assert notes["strategy"] == "feature-extraction"
    assert "more than half of `[budget] max_hours = 1e-07`" in notes["reason"]
    assert unchanged(before, network) >= {name for name in before if int(name.split(".")[0]) < 6}
