"""Bad input is a sentence and exit code 2, never a traceback; and outputs tell nothing of the machine."""

import getpass
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_runs import contents, write_run

from edgetune import api
from edgetune.cli import cli
from edgetune.devices import local
from edgetune.errors import InputError

N = 60
TRUTH = np.arange(N) % 3


def refused(*args):
    result = CliRunner().invoke(cli, ["compare", *map(str, args)])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and "unexpected" not in result.output
    return " ".join(result.output.split())


def edit(path: Path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_folders_that_are_no_runs(runs, tmp_path):
    a, _ = runs
    assert "there is no folder" in refused(a, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "is no run of edgetune: it has no report.json" in refused(a, tmp_path / "empty")
    assert "the runs are the folders in it" in refused(a, tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/manifest.json").write_text("{}")
    assert "this looks like a bundle" in refused(a, tmp_path / "bundle")
    (tmp_path / "x86-cpu.tar").write_bytes(b"")
    assert "this looks like a bundle" in refused(a, tmp_path / "x86-cpu.tar")
    (tmp_path / "empty/report.json").write_text('{"my": "thesis"}')
    assert "is no report of edgetune's" in refused(a, tmp_path / "empty")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000, "\xff"])
def test_an_unreadable_report(runs, text):
    (runs[1] / "report.json").write_text(text, encoding="latin-1")
    assert "report.json" in refused(*runs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_report_that_may_not_be_read(runs):
    (runs[1] / "report.json").chmod(0)
    assert "cannot read" in refused(*runs)


def test_a_report_that_is_a_folder(runs):
    (runs[1] / "report.json").unlink()
    (runs[1] / "report.json").mkdir()
    assert "cannot read" in refused(*runs)


def test_another_schema_and_a_report_that_breaks_its_own(runs):
    edit(runs[1] / "report.json", lambda r: r.update(schema="edgetune.report/0"))
    told = refused(*runs)
    assert "is of schema edgetune.report/0; this edgetune reads edgetune.report/1" in told
    edit(runs[1] / "report.json", lambda r: r.update(schema="edgetune.report/1", targets="none"))
    assert "does not follow its schema" in refused(*runs)


def test_b_built_for_another_target(runs, tmp_path):
    other = write_run(
        tmp_path / "c", contents=contents(N), truth=TRUTH.tolist(), answers={"int8": TRUTH}, target="arm-cpu"
    )
    told = refused(runs[0], other)
    assert "no target in common: A was built for x86-cpu, B for arm-cpu" in told and "--target x86-cpu" in told


def test_nothing_that_can_be_compared_is_no_pass(runs, tmp_path):
    other = write_run(tmp_path / "c", contents=contents(N), truth=TRUTH.tolist(), answers={"int8": TRUTH}, timed=False)

    def prepared(report):
        (target,) = report["targets"]
        for candidate in (target["baseline"], *target["candidates"]):
            candidate["metrics"] = None

    edit(other / "report.json", prepared)
    assert "nothing of these runs can be compared: x86-cpu: no engine was chosen" in refused(runs[0], other)


DAMAGE = {
    "schema": lambda p: p.update(schema="edgetune.predictions/9"),
    "short": lambda p: p["truth"].pop(),
    "class": lambda p: p["engines"]["int8"]["answer"].__setitem__(0, 7),
    "text": lambda p: p["engines"]["int8"]["answer"].__setitem__(0, "cat"),
    "float": lambda p: p["engines"]["int8"]["answer"].__setitem__(0, 0.5),
    "huge": lambda p: p["engines"]["int8"]["answer"].__setitem__(0, 10**30),
    "sure": lambda p: p["engines"]["int8"]["confidence"].__setitem__(0, 2.0),
    "engines": lambda p: p.update(engines=[1]),
    "missing": lambda p: p.pop("ids"),
    "labels": lambda p: p.update(labels=["cat", "dog", "emu"]),
    "twice": lambda p: p.update(labels=["cat", "cat", "emu"]),
    "others": lambda p: p["engines"]["int8"].update(p["engines"]["float"]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_predictions(runs, kind):
    edit(runs[1] / "predictions/x86-cpu.json", DAMAGE[kind])
    assert "predictions/x86-cpu.json" in refused(*runs)


def test_damaged_latencies(runs):
    path = runs[1] / "measurements/x86-cpu.json"
    edit(path, lambda m: m["engines"]["int8"].update(values=[]))
    (target,) = api.compare(*runs)["targets"]
    assert target["ships"]["latency"]["ratio"] is None and "no interval" in target["ships"]["latency"]["why"]
    edit(path, lambda m: m.pop("device"))
    assert "does not say which device" in api.compare(*runs)["targets"][0]["latency_not_comparable"]
    path.write_text("[]")
    assert "holds no latencies" in refused(*runs)


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "much"])
@pytest.mark.parametrize("option", ["--max-accuracy-drop", "--max-slowdown", "--max-size-growth"])
def test_a_limit_that_would_let_all_or_nothing_pass(runs, option, value):
    refused(*runs, option, value)
    if value != "much":
        with pytest.raises(InputError):
            api.compare(*runs, **{option[2:].replace("-", "_"): float(value)})


def test_other_classes_in_the_answers_alone(runs):
    for run, last in zip(runs, ("owl", "emu"), strict=True):
        edit(run / "report.json", lambda r: r["dataset"].pop("labels"))
        edit(run / "predictions/x86-cpu.json", lambda p, last=last: p.update(labels=["cat", "dog", last]))
    assert "only in A: owl; only in B: emu" in refused(*runs)


def test_outputs_that_cannot_be_written_are_told_before(runs, tmp_path):
    assert "cannot write" in refused(*runs, "--junit", tmp_path / "no/such/folder.xml")
    assert "cannot write" in refused(*runs, "--html", tmp_path)


def test_no_output_tells_of_the_machine_or_of_secrets(tmp_path):
    """Planted: paths and a name in the recipe, a token in the network's arguments, a device's name and a reason."""
    secret, user = "hf_planted_token", "planted-user"
    device = {**local.describe(), "name": f"{user}-laptop"}
    runs = []
    for name, answers in (("a", TRUTH), ("b", np.roll(TRUTH, 1))):
        folder = write_run(
            tmp_path / user / name, contents=contents(N), truth=TRUTH.tolist(), device=device,
            answers={"float": TRUTH, "int8": answers}, data=f"/home/{user}/{name}/photos",
        )  # fmt: skip
        report = json.loads((folder / "report.json").read_text())
        report["recipe"]["model"] |= {"args": {"token": secret + name}, "weights": f"C:\\Users\\{user}\\{name}.pt"}
        report["targets"][0]["reason"] = [f"/home/{user}/engine was slow"]
        report["targets"][0]["candidates"][0]["reason"] = f"/home/{user}/engine was slow"
        report["environment"] |= {"user": user, "machine": device}
        (folder / "report.json").write_text(json.dumps(report))
        runs.append(folder)
    files = {form: tmp_path / f"out.{form}" for form in ("junit", "markdown", "html")}
    options = [part for form, path in files.items() for part in (f"--{form}", str(path))]
    printed = CliRunner().invoke(cli, ["compare", *map(str, runs), *options])
    as_json = CliRunner().invoke(cli, ["compare", *map(str, runs), "--json"])
    assert printed.exit_code == as_json.exit_code == 3
    for text in (printed.output, as_json.output, *(path.read_text() for path in files.values())):
        for planted in (secret, user, str(tmp_path), "/home/", "C:\\"):
            assert planted not in text
        assert "model.args.token" in text or "<testsuites" in text  # that it changed is told
    assert getpass.getuser() == "root" or getpass.getuser() not in printed.output


def test_a_runs_predictions_tell_no_paths(runs):
    content = json.loads((runs[0] / "predictions/x86-cpu.json").read_text())
    assert set(content) == {"schema", "target", "split", "labels", "ids", "truth", "engines", "validation"}
    assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in content["ids"])


def test_nothing_of_the_users_is_overwritten(runs, tmp_path):
    a, b = runs
    (tmp_path / "mine.txt").write_text("my notes")
    report = (b / "report.json").read_bytes()
    for options, says in (
        ({"junit": b / "report.json"}, "lies in a run"),
        ({"html": tmp_path / "mine.txt"}, "is no comparison"),
        ({"html": tmp_path / "z", "markdown": tmp_path / "z"}, "given for two forms"),
    ):
        with pytest.raises(InputError, match=says):
            api.compare(a, b, **options)
    assert (b / "report.json").read_bytes() == report and (tmp_path / "mine.txt").read_text() == "my notes"
    for form in ("junit", "markdown", "html"):  # one's own may be renewed
        api.compare(a, b, **{form: tmp_path / form})
        api.compare(a, b, **{form: tmp_path / form})
