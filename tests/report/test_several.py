"""Several runs side by side: every number is one of a report, and what does not compare is said."""

import copy
import json

import pytest
from click.testing import CliRunner

from edgetune.cli import cli
from edgetune.report.several import load_runs, remarks, rows
from edgetune.report.write import write_reports


@pytest.fixture
def runs(tmp_path, report):
    slower = copy.deepcopy(report)
    for candidate in slower["targets"][0]["candidates"]:
        if candidate["latency_ms"]:
            candidate["latency_ms"]["p50"] *= 2
    write_reports(slower, tmp_path / "slower")
    write_reports(report, tmp_path / "faster")
    return [tmp_path / "slower", tmp_path / "faster"]


def test_what_ships_is_told_the_fastest_first(runs, report):
    found = [row for row in rows(load_runs(runs)) if row[1] == "x86-cpu"]
    assert [row[0] for row in found] == ["faster", "slower"]
    assert {row[3] for row in found} == {report["targets"][0]["chosen"]}
    assert all(row[4].endswith("%") and row[6].endswith("ms") for row in found)


def test_a_target_without_numbers_has_none(runs):
    others = [row for row in rows(load_runs(runs)) if row[1] != "x86-cpu"]
    assert others and all(row[6] == row[7] == "–" or row[3] for row in others)


def test_what_does_not_compare_is_said(runs):
    found = load_runs(runs)
    assert any("different sessions" in line for line in remarks(found))
    found[0][1]["targets"][0]["device"]["cpu"] = "another"
    found[0][1]["dataset"]["counts"]["test"] = {"dress": 1}
    said = " ".join(remarks(found))
    assert "different processors" in said and "test splits differ" in said


def test_the_command(runs, tmp_path):
    result = CliRunner().invoke(cli, ["report", "--compare", *map(str, runs), "--markdown", str(tmp_path / "c.md")])
    assert result.exit_code == 0 and "faster" in result.output and "slower" in result.output
    assert (tmp_path / "c.md").read_text().startswith("| run | target |")
    listed = CliRunner().invoke(cli, ["report", "--compare", *map(str, runs), "--json"])
    assert {row["run"] for row in json.loads(listed.stdout)} == set(map(str, runs))
    assert CliRunner().invoke(cli, ["report", "--compare", str(runs[0])]).exit_code == 2
    assert CliRunner().invoke(cli, ["report", *map(str, runs)]).exit_code == 2
    assert CliRunner().invoke(cli, ["report", "--compare", str(runs[0]), str(tmp_path)]).exit_code == 2


def test_a_damaged_report_is_named_and_not_shown(tmp_path):
    (tmp_path / "report.json").write_text('{"schema": "edgetune.report/1"}')
    for arguments in ([str(tmp_path)], ["--compare", str(tmp_path), str(tmp_path)]):
        done = CliRunner().invoke(cli, ["report", *arguments])
        assert done.exit_code == 2 and "does not follow its schema" in done.output and "build again" in done.output
