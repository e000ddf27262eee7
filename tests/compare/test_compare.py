"""What changed between two runs, what of it is a regression, and runs that cannot be compared."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from small_runs import LABELS, contents, write_run

from edgetune import api
from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.measure.statistics import accuracy_change

N = 60
TRUTH = np.arange(N) % 3


def invoke(*args):
    return CliRunner().invoke(cli, ["compare", *map(str, args)])


def test_lost_answers_are_a_regression_and_the_numbers_are_those_of_the_statistics(runs):
    found = api.compare(*runs)
    (target,) = found["targets"]
    ships = target["ships"]
    right_a, right_b = np.ones(N, bool), np.ones(N, bool)
    right_a[:2], right_b[20:32] = False, False
    assert ships["accuracy"]["change"] == accuracy_change(right_a, right_b)
    assert (ships["accuracy"]["change"]["negative_flips"], ships["accuracy"]["change"]["positive_flips"]) == (12, 2)
    assert [flip["kind"] for flip in target["flips"]] == ["negative"] * 12 + ["positive"] * 2
    assert {flip["id"] for flip in target["flips"]} == {contents(N)[i][:32] for i in [0, 1, *range(20, 32)]}
    assert all(flip["truth"] == flip["a"] != flip["b"] for flip in target["flips"][:12])
    classes = {row["label"]: row for row in ships["accuracy"]["per_class"]}
    assert list(classes) == LABELS and sum(row["negative_flips"] for row in classes.values()) == 12
    assert classes["cat"]["positive_flips"] == 1 and classes["cat"]["recall_a"] == 19 / 20
    assert found["regression"] and [check["outcome"] for check in found["checks"]] == ["failed", "failed", "passed"]
    assert {pair["a"]: pair["identical"] for pair in target["candidates"]} == {"float": True, "int8": False}
    assert not api.compare(*reversed(runs))["regression"]


def test_the_command_prints_and_exits_with_3(runs):
    result = invoke(*runs)
    assert result.exit_code == 3 and "REGRESSION: 1 checks passed, 2 failed" in result.output
    assert "12 became wrong and 2 right" in " ".join(result.output.split())
    assert json.loads(invoke(*runs, "--json").stdout)["schema"] == "edgetune.compare/1"
    assert invoke(*reversed(runs)).exit_code == 0


def test_the_same_run_twice_is_told(runs):
    result = invoke(runs[0], runs[0] / "../a")
    assert result.exit_code == 2 and "is the same run as" in result.output


def test_no_sample_in_common_leaves_newcombes_interval(runs, tmp_path):
    other = write_run(
        tmp_path / "c", contents=contents(N, 1000), truth=TRUTH.tolist(), answers={"float": TRUTH, "int8": TRUTH}
    )
    found = api.compare(runs[1], other)
    (target,) = found["targets"]
    assert target["samples"]["common"] == 0 and "no sample in common" in target["samples"]["why_unpaired"]
    accuracy = target["ships"]["accuracy"]
    assert not accuracy["paired"] and accuracy["change"]["value"] == pytest.approx(20)
    assert accuracy["change"]["ci95"][0] > 0 and target["flips"] == []
    assert api.compare(other, runs[1])["regression"]
    assert "only unpaired statistics are possible" in " ".join(invoke(runs[1], other).output.split())


def test_different_classes_are_an_error(runs, tmp_path):
    other = write_run(
        tmp_path / "c", contents=contents(N), truth=TRUTH.tolist(), answers={"int8": TRUTH},
        labels=["cat", "dog", "emu"],
    )  # fmt: skip
    with pytest.raises(InputError, match=r"different classes.*only in A: owl; only in B: emu"):
        api.compare(runs[0], other)
