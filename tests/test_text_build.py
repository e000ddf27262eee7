"""The main job on text: from a folder with an encoder and CSV files to a bundle that answers."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from edgetune_runtime import BundleError, Engine
from small_text import write_encoder, write_texts
from ssh_server import HOST, serving

import edgetune
from edgetune import api
from edgetune.devices.ssh import CONFIG
from edgetune.errors import ModelError, RecipeError, WeightsError
from edgetune.measure import encoder_latency
from edgetune.report.validate import validate

RECIPE = """
[model]
name = "transformers/tiny"
weights = "encoder"
[data]
path = "texts"
max_length = 24
[finetune]
epochs = 6
learning_rate = 3e-3
batch_size = 16
precision = "fp32"
[prune]
target_speedup = 1.4
recovery_epochs = 2
[budget]
max_accuracy_drop = 60.0  # all that is left to make is made
[bench]
min_runs = 20
min_seconds = 0.1
"""


def project(folder, **recipe):
    write_encoder(folder / "encoder")
    write_texts(folder / "texts", splits={"train": 60, "val": 20, "test": 20})
    text = RECIPE
    for key, value in recipe.items():
        text = text.replace(f"{key} = ", f"{key} = {value} # ")
    (folder / "edgetune.toml").write_text(text)
    return folder / "edgetune.toml"


@pytest.fixture(scope="module", autouse=True)
def short():
    """What a layer costs is timed for a tenth of the time; 100 runs of each engine it is all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_latency, "MIN_SECONDS", 0.1)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    report = edgetune.build(project(folder), cache_dir=folder / "cache")
    return folder, report


@pytest.mark.slow
def test_it_learns_quantizes_and_bundles(built):
    _, report = built
    validate(report.data)
    target = report.data["targets"][0]
    found = {candidate["name"]: candidate for candidate in target["candidates"]}
    assert set(found) == {"float", "int8", "pruned-1.4x", "pruned-1.4x-int8"} and report.exit_code in (0, 3)
    assert found["pruned-1.4x"]["size_bytes"] < 0.95 * found["float"]["size_bytes"]
    assert found["pruned-1.4x"]["metrics"]["accuracy"] > 0.6
    assert found["float"]["metrics"]["accuracy"] > 0.9  # a third by chance
    assert abs(found["int8"]["accuracy_change"]["value"]) < 10
    assert found["int8"]["size_bytes"] < 0.6 * found["float"]["size_bytes"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine")
def test_engines_for_text_are_measured_on_a_device(built, tmp_path, monkeypatch):
    folder, _ = built
    (folder / "targets").mkdir()
    (folder / "targets/board.toml").write_text('extends = "x86-cpu"\nsummary = "a"\narch = "any"\ncpu_features = []\n')
    with serving(tmp_path / "server") as server:
        monkeypatch.setenv(CONFIG, str(server.config))
        report = edgetune.build(folder, target="board", device=server.address, cache_dir=folder / "cache")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured" and target["device"]["name"] == HOST
    assert len(target["candidates"]) > 1 and all(c["status"] == "measured" for c in target["candidates"])
    assert "measure:board" in {step["name"] for step in report.data["steps"] if not step["cached"]}
    recipe = (folder / "edgetune.toml").read_text()
    (folder / "unpruned.toml").write_text(recipe.replace("target_speedup = 1.4", "target_speedup = []"))
    here = edgetune.build(folder / "unpruned.toml", target="board", cache_dir=folder / "cache").data["targets"][0]
    for there, local in zip(target["candidates"][:2], here["candidates"], strict=True):  # pruning goes by times
        assert there["metrics"]["accuracy"] == local["metrics"]["accuracy"]
    with Engine.open(report.run_dir / "bundles/board.tar") as engine:
        assert engine.predict("the bank and a loan", top=1)[0][0] == "money"


@pytest.mark.slow
def test_the_bundle_answers_without_torch_and_transformers(built, tmp_path):
    """In a process of its own it is right on as many of the test texts as the report says of the chosen engine."""
    folder, report = built
    bundle = report.run_dir / "bundles/x86-cpu.tar"
    drift = json.loads((report.run_dir / "bundles/x86-cpu/manifest.json").read_text())["drift"]
    assert 2 < drift["input"]["edges"][0] < 64 and sum(drift["classes"]) == drift["samples"]  # tokens of validation
    code = (
        "import csv, sys; from edgetune_runtime import Engine\n"
        "rows = list(csv.DictReader(open(sys.argv[2], encoding='utf-8')))\n"
        "with Engine.open(sys.argv[1]) as e:\n"
        "    right = sum(e.predict(row['text'], top=1)[0][0] == row['label'] for row in rows)\n"
        "print(right / len(rows))\n"
        "print([name for name in ('torch', 'transformers', 'edgetune') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(bundle), str(folder / "texts/test.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    target = report.data["targets"][0]
    chosen = next(one for one in target["candidates"] if one["name"] == target["chosen"])
    accuracy, loaded = done.stdout.split("\n")[:2]
    assert float(accuracy) == pytest.approx(chosen["metrics"]["accuracy"]) and loaded == "[]"
    assert float(accuracy) > 0.6  # a third by chance
    with Engine.open(bundle) as engine:
        bank = engine.predict("the bank and a loan", top=1)[0][0]
    told = subprocess.run(
        [sys.executable, "-m", "edgetune_runtime.cli", str(bundle), "the bank and a loan", "--json", "--top", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(told.stdout)
    assert answer["text"] == "the bank and a loan" and answer["predictions"][0]["label"] == bank


@pytest.mark.slow
def test_a_swapped_tokenizer_is_noticed(built, tmp_path):
    _, report = built
    folder = shutil.copytree(report.run_dir / "bundles/x86-cpu", tmp_path / "b")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"rain":', '"hail":'))
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        Engine.open(folder)


@pytest.mark.slow
def test_a_batch_answers_as_its_texts_alone_in_float(built):
    folder, _ = built
    network = next((folder / "cache").glob("objects/*/engine/tokenizer.json")).parent
    with Engine.open(network) as engine:
        texts = ["rain", "We saw a price and the debt of it again and again", "soup"]
        together = engine.run(engine.preprocessing(texts))
        alone = np.concatenate([engine.run(engine.preprocessing(text)) for text in texts])
    assert (together.argmax(1) == alone.argmax(1)).all()


@pytest.mark.slow
def test_building_again_computes_nothing_and_a_longer_limit_does(built):
    folder, _ = built
    again = edgetune.build(folder / "edgetune.toml", cache_dir=folder / "cache")
    assert all(step["cached"] for step in again.data["steps"])
    _, preview = api.plan(folder / "edgetune.toml", cache_dir=folder / "cache")
    assert all(step.cached for step in preview)


@pytest.mark.slow
def test_whole_and_pruned_encoders_are_trained_with_the_rounding_in_place(built):
    folder, before = built
    recipe = folder / "edgetune.toml"
    trained = folder / "trained.toml"
    trained.write_text(recipe.read_text() + '[quantize]\nmode = "qat"\nepochs = 1\nlearning_rate = 1e-3\n')
    report = edgetune.build(trained, cache_dir=folder / "cache")
    made = {step["name"].partition(":dynamic")[0] for step in report.data["steps"] if not step["cached"]}
    assert {"qat:finetune", "qat:prune-1.4x-for-x86-cpu"} <= made and not {"finetune", "prune"} & made
    found = {candidate["name"]: candidate for candidate in report.data["targets"][0]["candidates"]}
    known = {candidate["name"]: candidate for candidate in before.data["targets"][0]["candidates"]}
    for name in ("int8", "pruned-1.4x-int8"):
        assert found[name]["metrics"] == known[name]["metrics"]
        assert found[f"{name}-qat"]["metrics"]["accuracy"] >= known[name]["metrics"]["accuracy"] - 0.05
        assert found[f"{name}-qat"]["size_bytes"] == pytest.approx(known[name]["size_bytes"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["partial", "gradual", "feature-extraction", "auto"])
def test_every_strategy_trains_an_encoder(tmp_path, strategy):
    folder = tmp_path
    recipe = project(folder, epochs=16)
    recipe.write_text(
        recipe.read_text().replace("[finetune]", f'[finetune]\nstrategy = "{strategy}"\nlayer_decay = 0.9')
    )
    recipe.write_text(recipe.read_text().replace("= 1.4", "= []") + '[quantize]\nmode = "none"\n')
    report = edgetune.build(recipe, cache_dir=folder / "cache")
    assert report.data["targets"][0]["candidates"][0]["metrics"]["accuracy"] > 0.6


@pytest.mark.slow
def test_prepared_for_a_jetson(tmp_path):
    report = edgetune.build(project(tmp_path, epochs=1), target="jetson", cache_dir=tmp_path / "cache")
    assert report.exit_code == 4
    target = report.data["targets"][0]
    assert target["validation"]["refused"] == []
    script = (report.run_dir / "prepared/jetson-orin-nano/build_on_device.sh").read_text()
    assert "input_ids:1x24" in script


def test_the_plan_and_its_titles(tmp_path):
    made, _ = api.plan(project(tmp_path), cache_dir=tmp_path / "cache")
    assert [step.name for step in made.steps][:4] == ["check_data", "tokenize", "finetune", "export"]
    names = {step.name for step in made.steps}
    assert {"quantize_dynamic", "time_encoder", "prune_encoder"} <= names and not {"quantize", "prune"} & names


def test_defaults_for_text_are_not_those_for_pictures(tmp_path):
    recipe = project(tmp_path)
    recipe.write_text('[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\n')
    made, _ = api.plan(recipe, cache_dir=tmp_path / "cache")
    assert made.recipe.finetune.learning_rate == 1e-4 and made.recipe.finetune.augmentation == "none"


@pytest.mark.parametrize("line", ["[data]\nimage_size = 64", "[finetune]\nmixup = 0.2", "[prune]\nratio = [0.2]"])
def test_what_is_for_pictures_is_refused(tmp_path, line):
    section = line.partition("\n")[0]
    recipe = project(tmp_path)
    text = recipe.read_text()
    recipe.write_text(text.replace(section, line) if section in text else f"{text}\n{line}\n")
    with pytest.raises(RecipeError, match=r"is for pictures|text"):
        api.plan(recipe, cache_dir=tmp_path / "cache")


def test_pictures_and_texts_are_not_mistaken_for_each_other(tmp_path, shapes):
    recipe = project(tmp_path)
    recipe.write_text(recipe.read_text().replace("transformers/tiny", "torchvision/resnet18"))
    with pytest.raises(RecipeError, match="classifies pictures") as caught:
        api.plan(recipe, cache_dir=tmp_path / "cache")
    assert "transformers/NAME" in str(caught.value.hint)
    recipe.write_text(RECIPE.replace('"texts"', f'"{shapes}"'))
    with pytest.raises(RecipeError, match="holds none"):
        api.plan(recipe, cache_dir=tmp_path / "cache")


def test_a_folder_that_is_not_there(tmp_path):
    recipe = project(tmp_path)
    recipe.write_text(recipe.read_text().replace('"encoder"', '"decoder"'))
    with pytest.raises(WeightsError, match="no folder with pretrained weights"):
        api.plan(recipe, cache_dir=tmp_path / "cache")


def test_more_tokens_than_the_network_reads(tmp_path):
    recipe = project(tmp_path, max_length=64)
    with pytest.raises(ModelError, match="reads 40 tokens at most, the recipe asks for 64"):
        edgetune.build(recipe, cache_dir=tmp_path / "cache")


def test_init_proposes_a_recipe_that_can_be_planned(tmp_path):
    project(tmp_path)
    path = api.init(tmp_path / "texts", tmp_path / "new.toml")
    text = path.read_text().replace('# weights = "encoder" ', 'weights = "encoder" ')
    assert "max_length = 32 " in text and "240 train" not in text and "180 train" in text
    path.write_text(text)
    made, _ = api.plan(path, cache_dir=tmp_path / "cache")
    assert made.recipe.reads_text
