"""What a sink was sent is read back with the sink's own library."""

import json

import pytest
from click.testing import CliRunner

from edgetune.cli import cli
from edgetune.errors import InputError, ReportError
from edgetune.report.sinks.record import record_of
from edgetune.report.sinks.send import check_sink, send
from edgetune.report.write import write_reports


@pytest.fixture
def run(tmp_path, report):
    write_reports(report, tmp_path / "runs/one")
    return tmp_path / "runs/one"


def test_a_record_has_what_was_measured_and_nothing_else(run, report):
    record = record_of(report, run)
    baseline = report["targets"][0]["baseline"]
    assert record.metrics["x86-cpu/float/accuracy"] == baseline["metrics"]["accuracy"]
    assert record.metrics["x86-cpu/float/latency_ms_p50"] == baseline["latency_ms"]["p50"]
    assert "x86-cpu/float/speedup" not in record.metrics and "x86-cpu/int8/speedup_low" in record.metrics
    for target in report["targets"]:
        if target["status"] != "measured":
            assert not [
                name for name in record.metrics if name.startswith(f"{target['target']}/") and "latency" in name
            ]
    assert record.parameters["data.image_size"] == "160" and record.parameters["seed"] == "0"
    assert record.tags["chosen.x86-cpu"] == report["targets"][0]["chosen"]
    epochs = [row for row in report["history"] if row["step"] == "finetune"]
    assert [step for step, _ in record.curves["finetune/val_accuracy"]] == [row["epoch"] for row in epochs]
    assert {path.name for path in record.files} == {"report.html", "report.md", "report.json"}


def test_tensorboard_reads_it(run, report, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (line,) = send(run, (f"tensorboard:{tmp_path}/logs",))
    found = EventAccumulator(line.removeprefix("tensorboard: "))
    found.Reload()
    record = record_of(report, run)
    assert set(found.Tags()["scalars"]) == set(record.metrics) | set(record.curves)
    curve = record.curves["finetune/train_loss"]
    assert [(e.step, pytest.approx(e.value)) for e in found.Scalars("finetune/train_loss")] == list(curve)
    assert {"report/text_summary", "recipe/text_summary"} <= set(found.Tags()["tensors"])


@pytest.mark.slow
def test_mlflow_reads_it(run, report, tmp_path):
    from mlflow.tracking import MlflowClient

    url = f"sqlite:///{tmp_path}/tracking.db"
    for _ in range(2):  # the second into the experiment that is there
        (line,) = send(run, (f"mlflow:{url}",))
    client = MlflowClient(tracking_uri=url)
    experiment = client.get_experiment_by_name("edgetune")
    assert len(client.search_runs([experiment.experiment_id])) == 2
    found = client.get_run(line.split()[2])
    record = record_of(report, run)
    assert found.info.status == "FINISHED" and found.info.run_name == report["run"]
    assert record.metrics.items() <= found.data.metrics.items() and found.data.params == record.parameters
    history = client.get_metric_history(found.info.run_id, "finetune/val_loss")
    assert [(m.step, m.value) for m in history] == list(record.curves["finetune/val_loss"])
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {
        "report.html",
        "report.md",
        "report.json",
    }
    assert (tmp_path / "tracking.files").is_dir()


@pytest.mark.parametrize("text", ["mlflow", "mlflow:", "wandb:x", ":x", ""])
def test_what_is_no_sink_is_told(text):
    with pytest.raises(InputError, match="no sink"):
        check_sink(text)


def test_secrets_of_a_wrong_sink_are_not_told(run):
    result = CliRunner().invoke(cli, ["report", str(run), "--sink", "mlfow:https://me:secret@host/x?token=other"])
    assert result.exit_code == 2 and "secret" not in result.output and "other" not in result.output


def test_a_place_that_cannot_be_written_is_told(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match="tensorboard did not take the run"):
        send(run, (f"tensorboard:{tmp_path}/file",))


def test_the_command_says_where_it_went(run, tmp_path):
    result = CliRunner().invoke(cli, ["report", str(run), "--sink", f"tensorboard:{tmp_path}/logs", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["sent"][0].startswith("tensorboard: ")
