"""`init` writes recipes that parse, fit the data, and warn."""

from dataclasses import fields
from pathlib import Path

import pytest
from conftest import write_images
from hypothesis import given
from hypothesis import strategies as st

from edgetune.data.index import build_index
from edgetune.data.propose import propose_recipe, quoted
from edgetune.data.propose_text import propose_text_recipe
from edgetune.errors import RecipeError
from edgetune.recipe import load_recipe
from edgetune.records import Recipe


def parsed(tmp_path, text):
    (tmp_path / "edgetune.toml").write_text(text, encoding="utf-8")
    return load_recipe(tmp_path)


@pytest.mark.parametrize(("size", "expected"), [(20, 32), (40, 32), (100, 96), (230, 224)])
def test_the_image_size_follows_the_data(tmp_path, size, expected):
    write_images(tmp_path / "d", splits={"train": 2, "val": 1, "test": 1}, size=size)
    recipe = parsed(tmp_path, propose_recipe(tmp_path / "d", tmp_path))
    assert recipe.data.image_size == expected and recipe.data.path == "d"


def test_missing_splits_small_and_unbalanced_classes_are_noted(tmp_path):
    folder = write_images(tmp_path / "d", splits={"": 8})
    for path in list((folder / "cross").glob("*"))[2:]:
        path.unlink()
    text = propose_recipe(folder, tmp_path)
    assert "no val and no test split" in text and "unbalanced" in text and "fewer than 20" in text
    parsed(tmp_path, text)


@pytest.mark.parametrize(
    ("splits", "strategy"),
    [
        ({"train": 20, "val": 1, "test": 1}, "full"),
        ({"train": 19, "val": 1, "test": 1}, "auto"),
        ({"": 27}, "full"),  # 4 are carved for test, 3 for val
        ({"": 26}, "auto"),
    ],
)
def test_few_samples_of_the_median_class_to_learn_from_leave_the_strategy_open(tmp_path, splits, strategy):
    folder = write_images(tmp_path / "d", splits=splits, size=32)
    learnt = build_index(folder, val_fraction=0.15, test_fraction=0.15, on_bad_file="error", seed=0).counts()["train"]
    assert {count >= 20 for count in learnt.values()} == {strategy == "full"}
    assert parsed(tmp_path, propose_recipe(tmp_path / "d", tmp_path)).finetune.strategy == strategy
    counts = dict(splits)
    rows = [
        (split, f"{label} number {n}", label)
        for split, count in counts.items()
        for label in "abc"
        for n in range(count)
    ]
    lines = ["text,label" + ",split" * ("" not in counts)]
    lines += [",".join([text, label, *([split] if split else [])]) for split, text, label in rows]
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    assert parsed(tmp_path, propose_text_recipe(tmp_path / "texts.csv", tmp_path)).finetune.strategy == strategy


def test_names_and_broken_files_cannot_spoil_the_recipe(tmp_path):
    folder = write_images(tmp_path / "d", splits={"": 3})
    (folder / "cross").rename(folder / 'x"]\nseed = 7\u2028#')
    (folder / "blob/000.png").write_bytes(b"")
    text = propose_recipe(folder, tmp_path)
    assert "1 of 9 files looked at cannot be used, such as 'blob/000.png', which is empty (0 bytes)" in text
    assert parsed(tmp_path, text).seed == 0


def test_every_key_is_explained(tmp_path):
    write_images(tmp_path / "d", splits={"": 3})
    lines = propose_recipe(tmp_path / "d", tmp_path).splitlines()
    keys = [line for line in lines if " = " in line and "path =" not in line]
    assert len(keys) > 15 and all("   # " in line or "  # " in line for line in keys)
    sections = {line.strip("[]") for line in lines if line.startswith("[")}
    assert sections == {field.name for field in fields(Recipe)} - {"base", "seed", "deterministic"}


def test_data_elsewhere_keeps_its_whole_path(tmp_path):
    write_images(tmp_path / "d", splits={"": 3})
    (tmp_path / "project").mkdir()
    recipe = parsed(tmp_path, propose_recipe(tmp_path / "d", tmp_path / "project"))
    assert Path(recipe.data.path) == tmp_path / "d"


@given(st.text(max_size=20))
def test_any_path_survives_quoting(tmp_path_factory, text):
    import tomllib

    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text


def test_the_proposal_names_only_known_keys(tmp_path):
    write_images(tmp_path / "d", splits={"": 3})
    text = propose_recipe(tmp_path / "d", tmp_path).replace("# weights", "weights").replace("# max_", "max_")
    try:
        parsed(tmp_path, text)
    except RecipeError as error:
        pytest.fail(error.message)


@pytest.mark.parametrize(
    ("classes", "each", "epochs", "rate"), [(2, 600, 3, 1e-4), (2, 30, 6, 1e-4), (21, 600, 6, 2e-4)]
)
def test_texts_of_many_classes_are_trained_longer_and_faster(tmp_path, classes, each, epochs, rate):
    rows = [f"text {label} {number},label{label}" for label in range(classes) for number in range(each)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    recipe = parsed(tmp_path, propose_text_recipe(tmp_path / "texts.csv", tmp_path))
    assert (recipe.finetune.epochs, recipe.finetune.learning_rate) == (epochs, rate)
