"""A folder for a model hub: the card is what huggingface_hub reads, and nothing leaves the machine unasked."""

import json
import shutil

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard

from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.report import hub
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


def test_the_command_prepares_and_uploads_only_when_told_to(run, monkeypatch):
    asked = []
    monkeypatch.setattr(hub, "upload", lambda *args, **kwargs: asked.append((args, kwargs)))
    result = CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "someone/clothes"])
    assert result.exit_code == 0 and "nothing was uploaded" in result.output and "engine.onnx" in result.output
    assert not asked
    CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "someone/clothes", "--upload"])
    assert [kwargs for _, kwargs in asked] == [{"public": False}]
    assert CliRunner().invoke(cli, ["report", str(run), "--upload"]).exit_code == 2
    assert CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "a/b", "--public"]).exit_code == 2


def test_without_a_network_the_upload_fails_with_a_message(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(cli, ["report", str(run), "--push-to-hub", "someone/clothes", "--upload", "--json"])
    assert result.exit_code == 1 and "the hub did not take someone/clothes" in result.stderr, result.output
    assert json.loads((run / "hub/report.json").read_text())["run"] == "clothing10"
