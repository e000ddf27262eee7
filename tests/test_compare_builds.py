"""Real builds of tiny networks, compared: what a build leaves is what a comparison needs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import RECIPE, write_images
from edgetune_runtime import Engine
from small_text import write_encoder, write_texts

import edgetune
from edgetune import api
from edgetune.cli import cli
from edgetune.hashing import digest_file

pytestmark = pytest.mark.slow
PLAIN = RECIPE.replace("ratio = [0.0, 0.5]", "ratio = []").replace("epochs = 6", "epochs = 10")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with two runs of the same pictures: one learned, one did not."""
    folder = tmp_path_factory.mktemp("builds")
    write_images(folder / "shapes", splits={"train": 24, "val": 8, "test": 12})
    (folder / "tiny_network.py").write_text((Path(__file__).parent / "tiny_network.py").read_text())
    for name, text in (("good", PLAIN), ("bad", PLAIN.replace("learning_rate = 0.01", "learning_rate = 1e-9"))):
        (folder / f"{name}.toml").write_text(text)
        edgetune.build(folder / f"{name}.toml", run_dir=folder / f"runs/{name}", cache_dir=folder / "store")
    return folder


def test_a_runs_predictions_are_what_its_engine_answers(built):
    content = json.loads((built / "runs/good/predictions/x86-cpu.json").read_text())
    (target,) = json.loads((built / "runs/good/report.json").read_text())["targets"]
    assert list(content["engines"]) == [candidate["name"] for candidate in target["candidates"]]
    pictures = {digest_file(path)[:32]: path for path in (built / "shapes/test").rglob("*.png")}
    assert set(content["ids"]) == set(pictures)
    answers = content["engines"][target["chosen"]]
    with Engine.open(built / "runs/good/bundles/x86-cpu") as engine:
        for digest, truth, answer, confidence in zip(
            content["ids"], content["truth"], answers["answer"], answers["confidence"], strict=True
        ):
            outputs = engine.run(engine.preprocessing(pictures[digest]))[0].astype(np.float64)
            shares = np.exp(outputs - outputs.max())
            assert outputs.argmax() == answer and shares.max() / shares.sum() == pytest.approx(confidence, abs=0.02)
            assert content["labels"][truth] == pictures[digest].parent.name


def test_a_network_that_unlearned_is_a_regression(built, tmp_path):
    files = ["--junit", tmp_path / "c.xml", "--markdown", tmp_path / "c.md", "--html", tmp_path / "c.html"]
    runs = [built / "runs/good", built / "runs/bad"]
    result = CliRunner().invoke(cli, ["compare", *map(str, [*runs, *files])])
    assert result.exit_code == 3, result.output
    assert "FAILED: x86-cpu: accuracy is not proven lower" in result.output
    assert "finetune.learning_rate 0.01 -> 1e-09" in " ".join(result.output.split())
    (target,) = api.compare(*runs)["targets"]
    html = (tmp_path / "c.html").read_text()
    assert html.count("data:image/jpeg;base64,") == len(target["flips"]) > 0 and "not found" not in html
    for text in (html, result.output, *(path.read_text() for path in (tmp_path / "c.xml", tmp_path / "c.md"))):
        assert str(built) not in text and str(tmp_path) not in text
    back = CliRunner().invoke(cli, ["compare", *map(str, reversed(runs)), "--max-slowdown", "1000"])
    assert back.exit_code == 0, back.output


def test_the_report_and_a_comparison_of_two_engines_of_a_run_agree(built, tmp_path):
    """A run beside itself with another engine chosen: the change is the one the report told."""
    report = json.loads((built / "runs/good/report.json").read_text())
    (target,) = report["targets"]
    folders = {}
    for name in ("float", "int8"):
        folders[name] = shutil.copytree(built / "runs/good", tmp_path / name)
        target["chosen"] = name
        (folders[name] / "report.json").write_text(json.dumps(report))
    ships = api.compare(folders["float"], folders["int8"])["targets"][0]["ships"]
    told = next(candidate for candidate in target["candidates"] if candidate["name"] == "int8")["accuracy_change"]
    assert ships["accuracy"]["change"] == told


def test_a_build_from_cache_writes_predictions_and_is_no_regression(built):
    report = edgetune.build(built / "good.toml", run_dir=built / "runs/again", cache_dir=built / "store")
    assert all(step["cached"] for step in report.data["steps"])
    found = api.compare(built / "runs/good", built / "runs/again")
    (target,) = found["targets"]
    assert not found["regression"] and target["flips"] == [] and target["samples"]["common"] == 36
    assert all(pair["identical"] for pair in target["candidates"])
    assert target["ships"]["latency"]["ratio"]["value"] == pytest.approx(1, abs=1e-9)  # one measurement, cached


def test_a_target_that_cannot_run_here_has_no_predictions_and_is_told(built):
    report = edgetune.build(
        built / "good.toml", target="jetson", run_dir=built / "runs/jetson", cache_dir=built / "store"
    )
    assert not (report.run_dir / "predictions").exists()
    result = CliRunner().invoke(cli, ["compare", str(built / "runs/good"), str(report.run_dir)])
    assert result.exit_code == 2 and "A was built for x86-cpu, B for jetson-orin-nano" in result.output


def test_texts_are_paired_whatever_their_order_and_shown(tmp_path):
    write_encoder(tmp_path / "encoder")
    write_texts(tmp_path / "texts", splits={"train": 60, "val": 20, "test": 20})
    recipe = (
        '[model]\nname = "transformers/tiny"\nweights = "encoder"\n[data]\npath = "texts"\nmax_length = 24\n'
        '[finetune]\nepochs = EPOCHS\nlearning_rate = 3e-3\nbatch_size = 16\nprecision = "fp32"\n'
        '[prune]\ntarget_speedup = []\n[quantize]\nmode = "none"\n'
        "[bench]\nmin_runs = 20\nmin_seconds = 0.05\n"
    )
    runs = []
    for name, epochs in (("a", "6"), ("b", "1")):
        (tmp_path / f"{name}.toml").write_text(recipe.replace("EPOCHS", epochs))
        built = edgetune.build(tmp_path / f"{name}.toml", run_dir=tmp_path / f"runs/{name}", cache_dir=tmp_path / "s")
        runs.append(built.run_dir)
        lines = (tmp_path / "texts/test.csv").read_text().splitlines()
        (tmp_path / "texts/test.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    found = api.compare(*runs, html=tmp_path / "c.html")
    (target,) = found["targets"]
    assert target["samples"]["common"] == 60 and target["latency_not_comparable"] is None
    assert target["ships"]["latency"]["ratio"] is not None
    accuracy, reports = target["ships"]["accuracy"], [json.loads((run / "report.json").read_text()) for run in runs]
    for share, report in zip((accuracy["a"], accuracy["b"]), reports, strict=True):
        assert share == pytest.approx(report["targets"][0]["baseline"]["metrics"]["accuracy"])
    assert (tmp_path / "c.html").read_text().count("<blockquote>") == min(len(target["flips"]), 240) > 0
