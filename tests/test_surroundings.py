"""What is missing is told before anything runs, with the key of the recipe that names it."""

import os
import subprocess
import sys

import pytest
from conftest import RECIPE, write_images
from small_text import write_encoder, write_texts

from edgetune.errors import DataError, WeightsError
from edgetune.recipe import load_recipe
from edgetune.surroundings import look_around

TEXT = """
[model]
name = "transformers/mine"
weights = "encoder"
[data]
path = "texts"
max_length = 32
"""


def text_project(folder, recipe=TEXT):
    write_texts(folder / "texts", splits={"train": 6})
    (folder / "edgetune.toml").write_text(recipe)
    return folder / "edgetune.toml"


@pytest.mark.parametrize(("missing", "told"), [
    ("tokenizer.json", "has no tokenizer: no tokenizer.json"),
    ("model.safetensors", "has no weights: no model.safetensors"),
    ("config.json", "has no configuration: no config.json"),
])  # fmt: skip
def test_a_folder_that_lacks_a_part(tmp_path, missing, told):
    path = text_project(tmp_path)
    (write_encoder(tmp_path / "encoder") / missing).unlink()
    with pytest.raises(WeightsError, match=told) as caught:
        look_around(load_recipe(path), ())
    assert "save_pretrained" in caught.value.hint


def test_a_whole_folder_and_one_without_weights_that_are_not_wanted(tmp_path):
    path = text_project(tmp_path)
    encoder = write_encoder(tmp_path / "encoder")
    assert look_around(load_recipe(path), ()).weights == encoder
    (encoder / "model.safetensors").unlink()
    path.write_text(TEXT.replace("weights =", "pretrained = false\nweights ="))
    assert look_around(load_recipe(path), ()).weights == encoder


def picture_project(folder):
    write_images(folder / "shapes", splits={"train": 2, "val": 2, "test": 2})
    path = folder / "edgetune.toml"
    path.write_text(RECIPE.replace("pretrained = false\n", "").replace("[finetune]\n", '[finetune]\nkeep = "old"\n'))
    return path


def test_data_to_keep_that_is_not_there_names_its_own_key(tmp_path):
    with pytest.raises(DataError, match="where `\\[finetune\\] keep` looks") as caught:
        look_around(load_recipe(picture_project(tmp_path)), ())
    assert "[data]" not in caught.value.hint


def test_data_to_keep_that_makes_no_sense_names_its_key_too(tmp_path):
    path = picture_project(tmp_path)
    (tmp_path / "old").mkdir()
    with pytest.raises(DataError, match="the data of `\\[finetune\\] keep`: "):
        look_around(load_recipe(path), ())


def test_a_hub_that_does_not_answer_is_told_in_one_line_and_at_once(tmp_path):
    """Nothing listens on port 9 of this machine: as without a network, and without asking any real one."""
    path = text_project(tmp_path, TEXT.replace('weights = "encoder"\n', ""))
    done = subprocess.run(
        [sys.executable, "-m", "edgetune", "build", str(path), "--cache-dir", str(tmp_path / "cache")],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "Retrying" not in done.stderr and "Traceback" not in done.stderr
    assert "error: mine is not on this machine, and the Hugging Face hub does not answer" in done.stderr
    assert "set `[model] weights` to its folder" in done.stderr
