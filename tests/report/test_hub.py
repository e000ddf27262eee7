"""A folder for a model hub: the card is what huggingface_hub reads, and nothing leaves the machine unasked."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from small_hub import small_hub

from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.report import hub
from edgetune.report.hub_card import base_model
from edgetune.report.write import write_reports


@pytest.fixture
def run(tmp_path, report, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nobody"))
    report["targets"][0]["bundle"] = "bundles/x86-cpu"
    folder = tmp_path / "one"
    write_reports(report, folder)
    (folder / "bundles/x86-cpu").mkdir(parents=True)
    (folder / "bundles/x86-cpu/engine.onnx").write_bytes(b"engine")
    return folder


def test_the_card_says_what_was_measured_of_the_engine_that_ships(run, report):
    prepared = hub.prepare(run, "someone/clothes")
    card = ModelCard.load(run / "hub/README.md")
    target = report["targets"][0]
    chosen = next(one for one in target["candidates"] if one["name"] == target["chosen"])
    assert card.data.pipeline_tag == "image-classification" and card.data.library_name == "onnx"
    assert {"edgetune", "onnx", "x86-cpu"} <= set(card.data.tags)
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["accuracy"].metric_value == chosen["metrics"]["accuracy"]
    assert results["accuracy"].dataset_split == "test" and target["chosen"] in results["accuracy"].metric_name
    assert "dress, hat" in card.text and "edgetune-run bundles/x86-cpu photo.jpg" in card.text
    assert {file["name"] for file in prepared["files"]} == {
        "README.md", "report.html", "report.json", "bundles/x86-cpu/engine.onnx",
    }  # fmt: skip


def test_it_is_written_anew_and_touches_no_folder_of_others(run):
    hub.prepare(run, "someone/clothes")
    (run / "hub/old").write_text("x")
    hub.prepare(run, "someone/clothes")
    assert not (run / "hub/old").exists()
    shutil.rmtree(run / "hub")
    (run / "hub").mkdir()
    (run / "hub/mine").write_text("precious")
    with pytest.raises(InputError, match="did not write"):
        hub.prepare(run, "someone/clothes")
    assert (run / "hub/mine").read_text() == "precious"


@pytest.mark.parametrize("name", ["a/b/c", "two--dashes", "spa ce/x", ""])
def test_a_name_that_cannot_be_is_told(run, name):
    with pytest.raises(InputError, match="no name of a repository"):
        hub.prepare(run, name)


def test_a_run_without_a_bundle_has_nothing_to_hand_on(run):
    shutil.rmtree(run / "bundles")
    with pytest.raises(InputError, match="no bundle"):
        hub.prepare(run, "someone/clothes")


@pytest.fixture
def served(monkeypatch):
    """A hub on this machine, to which the library speaks HTTP as to the real one."""
    with small_hub() as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield found


def push(run, *more):
    return CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "someone/clothes", *more])


def test_the_command_uploads_only_when_told_to(run, served):
    result = push(run)
    assert result.exit_code == 0 and "nothing was uploaded" in result.output and "engine.onnx" in result.output
    assert not served.asked
    assert CliRunner().invoke(cli, ["report", str(run), "--upload"]).exit_code == 2
    assert CliRunner().invoke(cli, ["report", str(run), "--license", "mit"]).exit_code == 2
    assert push(run, "--public").exit_code == 2
    assert not served.asked


def test_a_new_repository_is_private(run, served):
    result = push(run, "--upload")
    assert result.exit_code == 0 and f"uploaded to {served.url}/someone/clothes (private)" in result.output
    assert served.private == {"someone/clothes": True}
    assert served.files["someone/clothes"] == {
        path.relative_to(run / "hub").as_posix(): path.read_bytes()
        for path in (run / "hub").rglob("*")
        if path.is_file() and path.name != ".edgetune-hub"
    }
    again = json.loads(push(run, "--upload", "--json").output)
    assert again["private"] is True and served.private == {"someone/clothes": True}


def test_nothing_goes_into_a_repository_that_everybody_sees_unless_it_may(run, served):
    served.private["someone/clothes"] = False
    result = push(run, "--upload")
    assert result.exit_code == 2 and "everybody can see someone/clothes on the hub; nothing was" in result.stderr
    assert "--public" in result.stderr and not served.files
    assert "public: everybody can see it" in push(run, "--upload", "--public").output
    assert "README.md" in served.files["someone/clothes"]


def test_nothing_goes_into_one_that_the_hub_made_public_all_the_same(run, served):
    served.ignores_private = True
    assert push(run, "--upload").exit_code == 2
    assert served.private == {"someone/clothes": False} and not served.files


def test_the_address_in_the_environment_is_the_one_that_is_asked(run, served):
    served.private["someone/clothes"] = False
    command = [sys.executable, "-m", "edgetune", "report", str(run), "--push-to-hub", "someone/clothes", "--upload"]
    done = subprocess.run(command, env={**os.environ, "HF_ENDPOINT": served.url}, capture_output=True, text=True)
    assert done.returncode == 2 and "everybody can see someone/clothes" in done.stderr and not served.files


def test_what_the_hub_finds_wrong_with_the_card_is_told(run, served):
    result = push(run, "--upload", "--license", "beerware")
    assert result.exit_code == 1 and "license must be one of" in result.stderr and not served.files
    result = push(run, "--license", "see ../LICENSE")
    assert result.exit_code == 2 and "no identifier of a licence" in result.stderr


def test_the_card_tells_where_it_comes_from_and_what_is_not_known(run, report):
    folder = run / "hub/README.md"
    hub.prepare(run, "someone/clothes")
    card = ModelCard.load(folder)
    assert card.data.license == "unknown" and card.data.base_model is None
    assert "weights of the maker's own" in card.text and "licence was not looked for" in card.text
    report["recipe"]["model"] = {"name": "timm/resnet18", "weights": None, "pretrained": True}
    report["dataset"]["licence"] = {"files": ["LICENSE"], "spdx": "CC-BY-4.0"}
    write_reports(report, run)
    hub.prepare(run, "someone/clothes", licence="apache-2.0")
    card = ModelCard.load(folder)
    assert card.data.license == "apache-2.0" and card.data.base_model == "timm/resnet18.a1_in1k"
    assert "LICENSE beside the data (CC-BY-4.0)" in card.text and "3,070 for train" in card.text


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            {"name": "net:make", "weights": None, "pretrained": True},
            "begins with: random weights, unless it loads others",
        ),
        ({"name": "net:make", "weights": "mine.pt", "pretrained": True}, "fine-tuned from weights of the maker's own"),
        ({"name": "timm/resnet18", "weights": None, "pretrained": False}, "trained from random weights"),
    ],
)
def test_the_card_tells_what_is_true_of_the_weights(run, report, model, says):
    report["recipe"]["model"] = model
    write_reports(report, run)
    hub.prepare(run, "someone/clothes")
    text = ModelCard.load(run / "hub/README.md").text
    assert says in text and "which that library loads" not in text
    assert ("the maker's own (net:make, whose code is not" in text) == (":" in model["name"])


def test_the_card_has_a_device_a_way_to_the_runtime_and_nothing_of_this_machine_alone(run, report):
    device = report["targets"][0]["device"]
    device["model"], device["before"]["cpu_pressure"] = "unknown", {"waited_s": 12.5, "at_s": 99.0}
    report["next_commands"] = ["edgetune build --target x86-cpu"]
    write_reports(report, run)
    hub.prepare(run, "someone/clothes")
    card = ModelCard.load(run / "hub/README.md")
    assert "| AMD EPYC 9R14 |" in card.text and "pip install ./runtime/python[image]" in card.text
    assert not any(word in card.text for word in ("cpu_pressure", "load_average", "Run it again", "edgetune build"))
    latency = next(result for result in card.data.eval_results if result.metric_type == "latency")
    assert "AMD EPYC 9R14" in latency.metric_name and "unknown" not in latency.metric_name


def test_an_engine_that_failed_its_gate_is_not_handed_on_without_a_word(run, report):
    command = ["report", str(run), "--push-to-hub", "someone/clothes"]
    assert "failed its gate" not in CliRunner().invoke(cli, command).output
    report["gates"][1].update(limit=0.001, value=0.35, passed=False)
    write_reports(report, run)
    told = "this engine failed its gate: x86-cpu: median latency 0.35 ms is above 0.001 ms"
    assert told in CliRunner().invoke(cli, command).output
    text = ModelCard.load(run / "hub/README.md").text
    assert f"**{told}**" in text and text.index(told) < text.index("## How to use it")


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ({"name": "transformers/distil/distilbert-base-cased", "weights": None}, "distil/distilbert-base-cased"),
        ({"name": "transformers/minilm", "weights": "encoder"}, None),
        ({"name": "timm/resnet18", "weights": None, "pretrained": False}, None),
        ({"name": "timm/no-such-network", "weights": None}, None),
        ({"name": "torchvision/resnet18", "weights": None}, None),
    ],
)  # fmt: skip
def test_a_base_model_is_named_where_the_hub_has_its_weights(model, base):
    assert base_model(model) == base


def test_latency_and_size_are_among_the_results(run, report):
    hub.prepare(run, "someone/clothes")
    results = {result.metric_type: result for result in ModelCard.load(run / "hub/README.md").data.eval_results}
    chosen = next(one for one in report["targets"][0]["candidates"] if one["name"] == "int8")
    assert results["latency"].metric_value == chosen["latency_ms"]["p50"]
    assert "ThinkCentre M75q" in results["latency"].metric_name and results["latency"].dataset_split is None
    assert results["size"].metric_value == chosen["size_bytes"]


def test_without_a_network_the_upload_fails_with_a_message(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "someone/clothes", "--upload", "--json"])
    assert result.exit_code == 1 and "the hub did not take someone/clothes" in result.stderr, result.output
    assert json.loads((run / "hub/report.json").read_text())["run"] == "clothing10"
