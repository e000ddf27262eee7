"""The controller in real builds: it repairs what calibration breaks, goes on after kill -9, keeps to its budget."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_images

import edgetune
from edgetune import api
from edgetune.report.markdown import render_markdown
from edgetune.report.terminal import render_table

pytestmark = pytest.mark.slow

RECIPE = """
[model]
name = "tiny_network:unlike"
pretrained = false
[data]
path = "shapes"
image_size = 40
[finetune]
strategy = "feature-extraction"
[prune]
ratio = []
[quantize]
float_layers = "none"
[bench]
min_runs = 20
min_seconds = 0.05
[targets]
names = ["one-scale"]
[budget]
"""
ONE_SCALE = 'extends = "x86-cpu"\n[scheme]\nper_channel = false\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose network calibration breaks; its store is shared by the tests."""
    folder = tmp_path_factory.mktemp("climb")
    write_images(folder / "shapes", splits={"train": 24, "val": 8, "test": 12})
    shutil.copy(Path(__file__).parent / "tiny_network.py", folder)
    (folder / "targets").mkdir()
    (folder / "targets/one-scale.toml").write_text(ONE_SCALE)
    (folder / "edgetune.toml").write_text(RECIPE)
    return folder


def build(folder: Path, budget: str = "") -> edgetune.Report:
    (folder / "edgetune.toml").write_text(RECIPE + budget)
    return edgetune.build(folder / "edgetune.toml", cache_dir=folder / "store")


def test_a_repair_wins_where_calibration_loses_also_after_kill_9(folder):
    command = [sys.executable, "-m", "edgetune", "build", "--cache-dir", "store"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[int8-repaired] "):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    report = build(folder)
    cached = {step["name"]: step["cached"] for step in report.data["steps"]}
    assert cached["finetune"] and cached["compile:one-scale:int8"] and not cached["compile:one-scale:int8-repaired"]
    target = report.data["targets"][0]
    assert target["chosen"] == "int8-repaired" and report.exit_code == 0
    journal = target["controller"]
    assert [row["name"] for row in journal["rungs"]] == ["float", "int8", "int8-repaired"]
    assert [row["ships"] for row in journal["rungs"]] == [False, False, True]
    assert journal["rungs"][1]["drop_points"] > 10 and "the budget allows 1" in journal["rungs"][1]["verdict"]
    assert {row["name"] for row in journal["not_tried"]} == {"int8-mixed", "int8-qat"}
    assert "int8-repaired" in journal["trade_off"] and "float" not in journal["trade_off"]
    told = " ".join(render_table(report.data).split())
    assert len(target["reason"]) == 3 and all(" ".join(part.split()) in told for part in target["reason"])
    assert "What the controller tried" in render_markdown(report.data)
    assert "What the controller tried" in (report.run_dir / "report.html").read_text()


def test_the_same_again_makes_nothing_and_the_plan_knows(folder):
    again = build(folder)
    assert all(step["cached"] for step in again.data["steps"])
    # What was evaluated and timed on the way is work, too.
    assert {"evaluate-val:one-scale:int8", "measure:one-scale:int8"} <= {step["name"] for step in again.data["steps"]}
    made, statuses = api.plan(folder / "edgetune.toml", cache_dir=folder / "store")
    assert all(status.cached for status in statuses)
    assert {status.rung for status in statuses} == {None, "int8", "int8-repaired"}
    assert [candidate.name for candidate in made.candidates] == ["float", "int8", "int8-repaired"]


def test_nothing_begins_after_max_hours(folder):
    report = build(folder, "max_hours = 1e-6\n")
    target = report.data["targets"][0]
    assert target["chosen"] == "float" and [row["name"] for row in target["controller"]["rungs"]] == ["float"]
    assert all("`max_hours = 1e-06` were over" in row["reason"] for row in target["controller"]["not_tried"])
    assert "might have been tried" in target["reason"][-1]


def test_a_budget_that_nothing_meets(folder):
    report = build(folder, "max_latency_ms = 0.000001\n")
    assert report.exit_code == 3
    target = report.data["targets"][0]
    assert target["chosen"] == "int8-repaired"  # the closest: accurate, and proven faster
    assert [row["ships"] for row in target["controller"]["rungs"]] == [False] * 3
    told = render_table(report.data)
    assert "GATE FAILED: median latency" in told and "Trade-off on validation:" in told
    assert "next: prune more" in told and "`[budget] max_latency_ms`" in " ".join(told.split())
    assert "none keeps every limit of the budget; the nearest is int8-repaired (" in target["reason"][-1]


def test_with_confidence_a_small_split_is_said_to_be_too_small(folder):
    spent = build(folder).data["targets"][0]["controller"]["hours"]
    report = build(folder, f"confidence = 0.95\nmax_hours = {0.999 * spent}\n")  # no time for more than there is
    target = report.data["targets"][0]
    repaired = next(c for c in target["candidates"] if c["name"] == "int8-repaired")
    assert repaired["selection"]["samples_needed"] > repaired["selection"]["n"] == 24
    assert target["chosen"] == "float" and "too small to tell of int8-repaired" in " ".join(target["reason"])
    assert "too small to tell" in target["controller"]["rungs"][-1]["verdict"]
    assert "might have been tried" in target["reason"][-1]
