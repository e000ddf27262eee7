"""What changed between two runs, what of it is a regression, and runs that cannot be compared."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import LABELS, contents, write_run

from edgetune import api
from edgetune.cli import cli
from edgetune.devices import local
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
    assert result.exit_code == 3 and "REGRESSION: of 3 checks 1 passed, 2 failed" in result.output
    assert "12 became wrong and 2 right" in " ".join(result.output.split())
    assert json.loads(invoke(*runs, "--json").stdout)["schema"] == "edgetune.compare/1"
    assert invoke(*reversed(runs)).exit_code == 0


def test_a_gate_that_b_fails_by_itself_is_told_and_is_no_regression(runs, tmp_path):
    new, old = runs
    report = json.loads((new / "report.json").read_text())
    report["gates"] = [{"name": "max_latency_ms", "target": "x86-cpu", "limit": 0.5, "value": 2.0, "passed": False}]
    (new / "report.json").write_text(json.dumps(report))
    told = "x86-cpu: what B ships fails its own gate: median latency 2.0 ms is above 0.5 ms."
    result = invoke(old, new, "--markdown", tmp_path / "c.md", "--html", tmp_path / "c.html")
    assert result.exit_code == 0 and told in " ".join(result.output.split())
    assert told in (tmp_path / "c.md").read_text().replace("\\", "") and told in (tmp_path / "c.html").read_text()
    assert "what A ships fails" in " ".join(invoke(new, old).output.split())


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


def names(found, outcome):
    return [check["name"] for check in found["checks"] if check["outcome"] == outcome]


def one(folder, answers=TRUTH, **options):
    options = {"contents": contents(N), "truth": TRUTH.tolist(), **options}
    return write_run(folder, answers={"int8": answers}, **options)


def test_where_nothing_ships_each_candidates_accuracy_is_checked(tmp_path):
    worse = (TRUTH + (np.arange(N) < 12)) % 3
    a, b = one(tmp_path / "a", timed=False), one(tmp_path / "b", worse, timed=False)
    found = api.compare(a, b)
    assert found["regression"] and names(found, "skipped") == ["compared"]
    assert names(found, "failed") == [
        "int8: accuracy is not proven lower", "int8: accuracy drops by at most 1 point",
    ]  # fmt: skip
    assert not api.compare(b, a)["regression"] and api.compare(b, a, strict=True)["regression"]


@pytest.mark.parametrize(
    ("lost", "won", "drop", "failed"),
    [
        (0, 0, 0.0, []),
        (6, 0, 100.0, ["accuracy is not proven lower"]),  # six all one way: p = 0.031
        (5, 0, 100.0, []),  # five: p = 0.0625
        (1, 0, 1.0, ["accuracy drops by at most 1 point"]),  # 1 of 60 is 1.67 points
        (1, 0, 2.0, []),
        (3, 0, 5.0, []),  # exactly the limit
        (9, 8, 1.0, ["accuracy drops by at most 1 point"]),
        (0, 20, 0.0, []),
    ],
)
def test_what_counts_as_lower_accuracy(tmp_path, lost, won, drop, failed):
    wrong_a, wrong_b = np.arange(N) < won, (np.arange(N) >= won) & (np.arange(N) < won + lost)
    a = one(tmp_path / "a", (TRUTH + wrong_a) % 3)
    b = one(tmp_path / "b", (TRUTH + wrong_b) % 3)
    found = api.compare(a, b, max_accuracy_drop=drop)
    assert names(found, "failed") == failed and found["regression"] == bool(failed)


@pytest.mark.parametrize(("median", "limit", "slower"), [(2.0, 5, False), (2.04, 0, True), (2.04, 5, False),
                                                          (2.4, 5, True), (1.0, 0, False)])  # fmt: skip
def test_what_counts_as_slower(tmp_path, median, limit, slower):
    a, b = one(tmp_path / "a"), one(tmp_path / "b", median=median, seed=9)
    found = api.compare(a, b, max_slowdown=limit)
    ratio = found["targets"][0]["ships"]["latency"]["ratio"]
    assert ratio["value"] == pytest.approx(median / 2, rel=0.02) and ratio["ci95"][0] < median / 2 < ratio["ci95"][1]
    assert found["regression"] == slower


def test_size_is_checked_when_asked_for(tmp_path):
    a, b = one(tmp_path / "a", size=1000), one(tmp_path / "b", size=1100)
    assert not api.compare(a, b)["regression"] and not api.compare(a, b, max_size_growth=10)["regression"]
    assert names(api.compare(a, b, max_size_growth=9.9), "failed") == ["size grows by at most 9.9 %"]


OTHER = {**local.describe(), "cpu": "Cortex-A76", "cores": 4}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"device": OTHER}, "different devices (cpu: "),
        ({"threads": 2}, "measured with threads 1 and 2"),
        ({"model": "transformers/tiny", "validation": ("w",)}, "different validation texts"),
    ],
)
def test_latencies_that_say_nothing_of_each_other_are_not_compared(tmp_path, options, why):
    a, b = one(tmp_path / "a", model=options.get("model", "x")), one(tmp_path / "b", median=9.0, **options)
    found = api.compare(a, b)
    assert why in found["targets"][0]["latency_not_comparable"] and not found["regression"]
    assert [name.split()[0] for name in names(found, "skipped")] == ["latency"]
    assert api.compare(a, b, strict=True)["regression"]
    assert why in " ".join(invoke(a, b).output.split())


def test_a_device_is_the_same_after_a_new_kernel_and_under_another_name(tmp_path):
    a, b = one(tmp_path / "a"), one(tmp_path / "b", device={**local.describe(), "kernel": "Linux 9", "name": "pi5"})
    assert api.compare(a, b)["targets"][0]["latency_not_comparable"] is None


def test_only_the_common_samples_count(tmp_path):
    """b has half of a's samples in another order, twenty new ones it is wrong on, and relabelled five."""
    order = np.random.default_rng(0).permutation(30)
    ids = [contents(N)[i] for i in order] + contents(20, 500) + contents(N)[30:35]
    truth = [int(TRUTH[i]) for i in order] + [0] * 20 + [int(TRUTH[i] + 1) % 3 for i in range(30, 35)]
    answers = [int(TRUTH[i]) for i in order] + [1] * 20 + [0] * 5
    found = api.compare(one(tmp_path / "a"), one(tmp_path / "b", answers, contents=ids, truth=truth))
    (target,) = found["targets"]
    counted = {"common": 30, "only_a": 25, "only_b": 20, "relabelled": 5, "why_unpaired": None}
    assert target["samples"] == counted
    assert target["ships"]["accuracy"]["change"]["value"] == 0 and target["ships"]["accuracy"]["n_a"] == 30
    assert target["flips"] == [] and not found["regression"]
    told = " ".join(invoke(tmp_path / "a", tmp_path / "b").output.split())
    assert "the 30 test samples that both runs have; 25 that only A has are left out" in told
    assert "5 that have another label in B are left out" in told


def test_classes_in_another_order_are_the_same_classes(tmp_path):
    a = one(tmp_path / "a")
    b = one(tmp_path / "b", (TRUTH + 1) % 3, truth=((TRUTH + 1) % 3).tolist(), labels=[LABELS[2], *LABELS[:2]])
    accuracy = api.compare(a, b)["targets"][0]["ships"]["accuracy"]
    assert accuracy["paired"] and accuracy["n_a"] == N and accuracy["change"]["negative_flips"] == 0


def test_a_run_from_before_predictions_is_compared_unpaired(runs):
    shutil.rmtree(runs[0] / "predictions")
    (target,) = api.compare(*runs)["targets"]
    assert target["samples"]["common"] is None and not target["ships"]["accuracy"]["paired"]
    assert target["ships"]["accuracy"]["change"]["value"] == pytest.approx(100 * (48 - 58) / 60)
    assert "there is no predictions/x86-cpu.json in run A" in " ".join(invoke(*runs).output.split())


def test_targets_of_one_run_only_are_told(tmp_path):
    a, b = one(tmp_path / "a"), one(tmp_path / "b")
    report = json.loads((a / "report.json").read_text())
    report["targets"].append({**report["targets"][0], "target": "arm-cpu"})
    (a / "report.json").write_text(json.dumps(report))
    found = api.compare(a, b)
    assert found["checks"][-1] == {
        "target": "arm-cpu", "name": "compared", "outcome": "skipped", "message": "only run A was built for it",
        "value": None, "limit": None,
    }  # fmt: skip
    assert not found["regression"] and api.compare(a, b, strict=True)["regression"]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_a_comparison_turned_around_has_the_same_flips_with_the_other_sign(seed):
    rng = np.random.default_rng(seed)
    folder = Path(tempfile.mkdtemp())
    try:
        a, b = (one(folder / name, (TRUTH + (rng.random(N) < 0.2)) % 3) for name in "ab")
        there, back = (api.compare(*pair)["targets"][0] for pair in ((a, b), (b, a)))
        forth, again = there["ships"]["accuracy"]["change"], back["ships"]["accuracy"]["change"]
        assert forth["value"] == pytest.approx(-again["value"]) and forth["mcnemar_p"] == again["mcnemar_p"]
        assert (forth["negative_flips"], forth["positive_flips"]) == (again["positive_flips"], again["negative_flips"])
        assert {flip["id"] for flip in there["flips"]} == {flip["id"] for flip in back["flips"]}
        assert len(there["flips"]) == forth["negative_flips"] + forth["positive_flips"]
        classes = there["ships"]["accuracy"]["per_class"]
        assert sum(row["negative_flips"] for row in classes) == forth["negative_flips"]
        assert sum(row["positive_flips"] for row in classes) == forth["positive_flips"]
    finally:
        shutil.rmtree(folder)


def told(*args):
    return " ".join(invoke(*args).output.split())


def test_notes_on_noise_on_one_measurement_and_on_a_limit_finer_than_the_test_set(tmp_path):
    a, b = one(tmp_path / "a"), one(tmp_path / "b", seed=9)
    assert "noisy" not in told(a, b) and "same measurement" not in told(a, b)
    # six flips all one way are the fewest that can be told from chance: 10 points of 60 samples
    assert "a drop below 10.0 points cannot be told from chance" in told(a, b)
    assert "told from chance" not in told(a, b, "--max-accuracy-drop", "10")
    path = b / "measurements/x86-cpu.json"
    raw = json.loads(path.read_text())
    values = raw["engines"]["int8"]["values"]
    raw["engines"]["int8"]["values"] = values[:200] + [1.2 * value for value in values[200:]]
    path.write_text(json.dumps(raw))
    assert "the machine was noisy when B was measured: int8: the second half was 20% slower" in told(a, b)
    assert "noisy when A" not in told(a, b)
    shutil.copyfile(a / "measurements/x86-cpu.json", path)
    assert "both runs show the same measurement" in told(a, b)


def test_what_may_be_the_cause_is_told(tmp_path):
    a, b = one(tmp_path / "a", model="torchvision/resnet18"), one(tmp_path / "b", model="torchvision/resnet34")
    report = json.loads((b / "report.json").read_text())
    report["environment"]["versions"]["onnxruntime"] = "1.32.0"
    (b / "report.json").write_text(json.dumps(report))
    raw = json.loads((b / "measurements/x86-cpu.json").read_text())
    raw["device"]["versions"] = {"onnxruntime": "1.30.0"}
    (b / "measurements/x86-cpu.json").write_text(json.dumps(raw))
    text = told(a, b)
    assert "The recipes differ: model.name torchvision/resnet18 -> torchvision/resnet34." in text
    assert "onnxruntime 1.31.0 -> 1.32.0" in text and "x86-cpu device.onnxruntime - -> 1.30.0" in text


def test_data_without_a_page_is_refused(runs, tmp_path):
    result = invoke(*runs, "--data", tmp_path)
    assert result.exit_code == 2 and "give --html FILE too" in result.output
