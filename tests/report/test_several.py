"""Several runs side by side: every number is one of a report, and what does not compare is said."""

import copy
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgetune.cli import cli
from edgetune.report.several import load_runs, names, remarks, rows
from edgetune.report.several_html import render_several_html
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


def timed(folder, values):
    (folder / "measurements").mkdir(exist_ok=True)
    (folder / "measurements/x86-cpu.json").write_text(json.dumps({"engines": {"float": {"values": values}}}))


def test_one_measurement_that_several_runs_show_is_told(runs, tmp_path):
    third = Path(shutil.copytree(runs[0], tmp_path / "third"))

    def said(*folders):
        return [line for line in remarks(load_runs(folders)) if line.startswith("x86-cpu: ")]

    same = "x86-cpu: {} show the same measurement; nothing was timed anew."
    assert said(runs[0], tmp_path / "faster/../slower") == [same.format("both runs")]
    for folder, values in ((runs[0], [1.5, 2.0]), (runs[1], [1.5, 2.0]), (third, [1.5, 2.1])):
        timed(folder, values)
    assert said(*runs) == [same.format("both runs")] and "same measurement" in render_several_html(load_runs(runs))
    between, joined = said(*runs, third)
    assert "different sessions" in between and joined == same.format("faster, slower")
    timed(third, [1.5, 2.0])
    assert said(*runs, third) == [same.format("all of these")]
    (third / "measurements/x86-cpu.json").write_text("damaged")
    assert any("different sessions" in line for line in said(runs[0], third))


def test_runs_of_one_name_are_told_apart_and_a_folder_s_name_is_found(runs, tmp_path, monkeypatch):
    for place in ("a", "b"):
        shutil.copytree(runs[0], tmp_path / place / "same")
    monkeypatch.chdir(runs[1])
    found = load_runs([tmp_path / "a/same", Path(), tmp_path / "b/same", Path("../slower/../slower")])
    assert names(found) == ["same (1)", "faster", "same (2)", "slower"]
    assert {row[0] for row in rows(found)} == set(names(found))


def plotted(page):
    """What a page's script draws."""
    return json.loads(re.search(r'id="plots">(.*?)</script>', page)[1])["targets"]


def test_the_page_has_what_ships_with_its_interval_and_a_mark_for_each_run(runs, report):
    page = render_several_html(load_runs(runs))
    best = next(c for c in report["targets"][0]["candidates"] if c["name"] == report["targets"][0]["chosen"])
    drawn = next(target for target in plotted(page) if target["points"])
    assert [(point["name"], point["latency"]) for point in drawn["points"]] == [
        ("faster", best["latency_ms"]["p50"]), ("slower", 2 * best["latency_ms"]["p50"]),
    ]  # fmt: skip
    low, high = drawn["points"][0]["bounds"]
    assert low < best["metrics"]["accuracy"] == drawn["points"][0]["accuracy"] < high and not drawn["mixed"]
    assert f"<small>{100 * low:.1f} to {100 * high:.1f}</small>" in page
    assert "AMD EPYC 9R14" in page and "limit 2.5 ms" in page and "different sessions" in page
    assert page.count('id="run-') == 2 and page.count('href="#run-1"') == len(report["targets"])
    assert "TensorRT is not installed here" in page  # why a target has no numbers


def test_where_numbers_do_not_compare_no_line_joins_the_best(runs):
    found = load_runs(runs)
    found[0][1]["targets"][0]["device"]["cpu"] = "another"
    assert [target["mixed"] for target in plotted(render_several_html(found)) if target["points"]] == [True]
    assert "so no line joins the best" in render_several_html(found)


def test_times_with_other_threads_and_of_noisy_machines_are_told(runs):
    found = load_runs(runs)
    found[0][1]["targets"][0]["device"]["threads"] = 4
    found[1][1]["targets"][0]["noise"] = ["a reason"]
    said = " ".join(remarks(found))
    assert "different numbers of threads" in said and "noisy when faster was timed; intervals allow" in said
    found[1][1]["targets"][0]["noise"] = ["other work took 40% of the processor's time"]
    assert "timed; neither medians nor intervals allow for it" in " ".join(remarks(found))


def test_names_of_the_user_s_cannot_be_markup(runs):
    found = load_runs(runs)
    found[0][1]["recipe"]["model"]["name"] = found[0][1]["targets"][0]["target"] = "<img src=x onerror=alert(1)>"
    assert "<img" not in render_several_html(found)


def test_reports_of_before_paths_were_cut_tell_none_on_the_page(runs, tmp_path):
    written = json.loads((runs[0] / "report.json").read_text())
    written["recipe"]["data"]["path"] = written["targets"][1]["reason"][0] = "/home/planted/photos"
    (runs[0] / "report.json").write_text(json.dumps(written))
    files = [tmp_path / "c.html", tmp_path / "c.md"]
    options = ["--html", str(files[0]), "--markdown", str(files[1])]
    assert CliRunner().invoke(cli, ["report", "--compare", *map(str, runs), *options]).exit_code == 0
    texts = [file.read_text() for file in files]
    assert "photos" in texts[0] and not any(word in text for text in texts for word in ("planted", str(tmp_path)))


def test_nothing_of_the_user_s_is_overwritten_or_put_into_a_run(runs, tmp_path):
    def command(*options):
        return CliRunner().invoke(cli, ["report", "--compare", *map(str, runs), *map(str, options)])

    (tmp_path / "mine").write_text("# my notes")
    before = (runs[0] / "report.html").read_bytes()
    for options, says in (
        (("--html", tmp_path / "mine"), "is no comparison"),
        (("--markdown", tmp_path / "mine"), "is no comparison"),
        (("--html", runs[0] / "report.html"), "lies in a run"),
        (("--html", tmp_path / "two", "--markdown", tmp_path / "two"), "given for two forms"),
        (("--html", tmp_path / "no/folder.html"), "cannot write"),
        (("--html", tmp_path), "cannot write"),
    ):
        done = command(*options)
        assert done.exit_code == 2 and says in done.output
    assert (tmp_path / "mine").read_text() == "# my notes" and (runs[0] / "report.html").read_bytes() == before
    for option in ("--html", "--markdown"):  # one's own may be renewed
        assert [command(option, tmp_path / "own").exit_code for _ in range(2)] == [0, 0]
        (tmp_path / "own").unlink()
    assert CliRunner().invoke(cli, ["report", str(runs[0]), "--html", str(tmp_path / "x")]).exit_code == 2


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
