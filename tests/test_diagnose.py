"""`edgetune diagnose` as its user sees it."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from small_text import write_encoder, write_texts

import edgetune
from edgetune import api, pipeline
from edgetune.cli import cli
from edgetune.errors import InputError, RecipeError
from edgetune.plan import make_rung_plan
from edgetune.plan.candidates import UNPRUNED
from edgetune.progress import Quiet
from edgetune.recipe import load_recipe
from edgetune.records import Rung
from edgetune.report.diagnosis import verdict
from edgetune.steps import mix
from edgetune.store import Store
from edgetune.surroundings import look_around
from edgetune.target import recipe_target

TARGET = """extends = "x86-cpu"
[scheme]
per_channel = false
"""


def test_it_says_where_and_writes_a_page_that_needs_no_network(project):
    done = CliRunner().invoke(cli, ["diagnose", "--samples", "30"])
    assert done.exit_code == 0, done.output
    found = json.loads((project / "diagnosis/diagnosis.json").read_text())
    assert {layer["layer"] for layer in found["layers"] if layer["has_weight"]} == {"0", "3", "6", "11"}
    assert found["trials"][0]["change"] == "as in the recipe" and found["suggested"] is not None
    assert "validation samples the network has" in done.stdout and "as in the recipe" in done.stdout
    page = (project / "diagnosis/diagnosis.html").read_text()
    assert "What was tried" in page and "http" not in page.split("<script>")[1] and str(project) not in page

    again = CliRunner().invoke(cli, ["diagnose", "--samples", "30", "--json", "--output", "elsewhere"])
    data = json.loads(again.stdout)
    assert data["layers"] == found["layers"] and "diagnose 8 bits of x86-cpu: cached" in again.stderr
    assert data["files"][1].endswith("elsewhere/diagnosis.html")


def test_of_another_target(project):
    (project / "targets").mkdir()
    (project / "targets/one-scale.toml").write_text(TARGET)
    found = api.diagnose(target="one-scale", samples=30)
    assert found["target"] == "one-scale" and found["samples"] == 24  # all there are


def test_what_cannot_be_diagnosed(project):
    with pytest.raises(InputError, match="0 samples"):
        api.diagnose(samples=0)
    with pytest.raises(InputError, match="cannot write to"):
        api.diagnose(samples=10, output=project / "edgetune.toml")
    (project / "targets").mkdir()
    (project / "targets/floating.toml").write_text('extends = "x86-cpu"\nprecisions = ["fp32"]\n')
    with pytest.raises(InputError, match="has no 8-bit engines"):
        api.diagnose(target="floating")


COARSE = """extends = "x86-cpu"
[scheme]
per_channel = false
reduce_range = true
"""
TEXTS = """
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
[quantize]
keep_float = []
[budget]
max_accuracy_drop = 1.0
"""
DENSE = "encoder.bert.encoder.layer.0.output.dense"


@pytest.fixture
def texts(tmp_path, monkeypatch):
    write_encoder(tmp_path / "encoder")
    write_texts(tmp_path / "texts", splits={"train": 60, "val": 20, "test": 10})
    (tmp_path / "edgetune.toml").write_text(TEXTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_an_encoder_is_diagnosed_layer_by_layer(texts):
    done = CliRunner().invoke(cli, ["diagnose"])
    assert done.exit_code == 0, done.output
    found = json.loads((texts / "diagnosis/diagnosis.json").read_text())
    layers = {layer["layer"]: layer for layer in found["layers"]}
    assert layers[DENSE]["operator"] == "linear" and layers[DENSE]["weight_db"] > 20 < layers[DENSE]["activations_db"]
    assert layers["encoder.bert.embeddings.word_embeddings"]["operator"] == "embedding" and len(layers) == 17
    assert found["samples"] == 60  # all there are
    assert [trial["change"] for trial in found["trials"]][:2] == ["as in the recipe", "with smoothquant"]
    assert found["trials"][0]["settings"]["calibration"] is None and "embedding" not in found["left_in_float"]
    assert "validation samples the network has" in done.stdout
    page = (texts / "diagnosis/diagnosis.html").read_text()
    assert DENSE in page and str(texts) not in page


def test_an_encoders_worst_layers_stay_in_float(texts, monkeypatch):
    # So small an encoder loses next to nothing.
    for name, less in {"MIN_RUNS": 20, "MIN_SECONDS": 0.05, "MAX_SECONDS": 1.0, "NOTHING_LOST": 1e-10}.items():
        monkeypatch.setattr(mix, name, less)
    (texts / "targets").mkdir()
    (texts / "targets/coarse.toml").write_text(COARSE)
    recipe, store = load_recipe(texts), Store(texts / "cache")
    target = recipe_target(recipe, "coarse")
    around = look_around(recipe, (target,))
    plan = make_rung_plan(recipe, target, around.facts, Rung(pruning=UNPRUNED, treatment="int8-mixed"))
    made = {step.name: step.id for step in plan.steps}
    last = [step.name for step in plan.steps].index("quantize_dynamic")
    outcomes = pipeline.run(replace(plan, steps=plan.steps[: last + 1], candidates=()), store, around, Quiet())
    chosen, quantized = (outcomes[made[name]].artifact.path for name in ("mix_dynamic", "quantize_dynamic"))
    settings = json.loads((chosen / "settings.json").read_text())
    noted = json.loads((chosen / "notes/layers.json").read_text())
    assert noted["layers"] and all(row["lost_ms"] is not None for row in noted["layers"])
    kept = set(settings["keep_float"])
    assert kept == {row["layer"] for row in noted["layers"][: len(kept)]} and len(noted["trials"][-1]["keep_float"]) > 0
    # What stays in float is not among the layers that 8 bits cost something.
    apart = {row["layer"] for row in json.loads((quantized / "notes/alone.json").read_text())["layers"]}
    assert len(apart) + len(kept) == 17 and not apart & kept


def test_a_layer_that_an_encoder_does_not_have(texts):
    (texts / "edgetune.toml").write_text(TEXTS.replace("keep_float = []", 'keep_float = ["encoder.layer.7"]'))
    with pytest.raises(RecipeError, match="which the network does not have") as caught:
        api.diagnose()
    assert not (texts / "cache/objects").exists()  # before anything is trained
    assert "did you mean encoder.bert" in caught.value.hint
    quoted = '"encoder.bert.encoder.layer.0.output.dropout"'
    (texts / "edgetune.toml").write_text(TEXTS.replace("keep_float = []", f"keep_float = [{quoted}]"))
    with pytest.raises(RecipeError, match="no linear layer and no table"):
        edgetune.build()


def test_files_that_are_no_diagnosis_are_left(texts):
    (texts / "diagnosis").mkdir()
    (texts / "diagnosis/diagnosis.html").write_text("<p>my own</p>")
    with pytest.raises(InputError, match="is no diagnosis; it is not overwritten"):
        api.diagnose(samples=8)
    assert (texts / "diagnosis/diagnosis.html").read_text() == "<p>my own</p>"
    (texts / "diagnosis/diagnosis.html").unlink()
    for _ in range(2):  # its own may go
        api.diagnose(samples=8)


def test_a_network_that_guesses_is_told(texts):
    text = TEXTS.replace("epochs = 6", "epochs = 1").replace("learning_rate = 3e-3", "learning_rate = 1e-9")
    (texts / "edgetune.toml").write_text(text)
    said = verdict(api.diagnose(samples=32))
    assert "not proven better than always giving the commonest answer" in said[1]
