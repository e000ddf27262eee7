"""What is told of trials: the front, its volume, the choice, and the page."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from edgetune.errors import ReportError
from edgetune.records import BudgetSpec, DataSpec, ModelSpec, Recipe, SearchSpec
from edgetune.report.search import render_search, write_search
from edgetune.report.validate import validate_search
from edgetune.search.hopeless import RESULT, Stop
from edgetune.search.outcome import describe
from edgetune.search.trial import Baseline
from edgetune.search_space import search_space_of
from edgetune.target import load_target
from edgetune.tune.study import REASON, RECIPE, VALUES

OWN = Recipe(
    base=Path("/p"),
    model=ModelSpec(name="torchvision/resnet18"),
    data=DataSpec(path="photos"),
    budget=BudgetSpec(max_accuracy_drop=5.0),
    search=SearchSpec(trials=4, space={"prune": {"ratio": [0.0, 0.3, 0.5]}}),
)
FLOAT = Baseline(
    target=load_target("x86-cpu", Path()),
    compiled="",
    outcomes={},
    accuracy=0.9,
    size_bytes=1000,
    samples=200,
    chance=0.1,
)


def result(accuracy, speedup, size=500, low=None):
    return {
        "engine": "pruned-30-int8", "recovered_accuracy": 0.9, "accuracy": accuracy, "size_bytes": size,
        "speedup": {"value": speedup, "ci95": [speedup * 0.99 if low is None else low, speedup * 1.01]},
        "latency_ms": 2.0 / speedup, "float_ms": 2.0,
    }  # fmt: skip


def told(results, recipe=OWN, stopped=None):
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number, found in enumerate(results):
        attributes = {VALUES: {"prune.ratio": 0.3}, RESULT: found, RECIPE: number == 0}
        study.add_trial(create_trial(values=[found["accuracy"], 1 / found["speedup"]["value"]], user_attrs=attributes))
    lost = {**result(0.9, 2.0), **dict.fromkeys(("accuracy", "speedup", "latency_ms", "float_ms", "size_bytes"))}
    attributes = {VALUES: {"prune.ratio": 0.5}, RESULT: {**lost, "recovered_accuracy": 0.2}, REASON: "<b>hopeless"}
    if stopped is not None:
        attributes[RESULT] |= {"recovered_accuracy": stopped.accuracy, "stopped": stopped.to_json()}
        attributes[REASON] = str(stopped)
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs=attributes))
    space = search_space_of(recipe, int8=True)
    return describe(study, recipe, FLOAT, space, "sqlite:///search.db", int8=True)


def test_front_volume_choice_and_page(tmp_path):
    data = told([result(0.9, 2.0), result(0.88, 4.0), result(0.7, 5.0)])
    validate_search(data)
    assert data["front"] == [2, 1, 0] and data["chosen_trial"] == 1 and data["complete"]
    assert [trial["inside_budget"] for trial in data["trials"]] == [True, True, False, False]
    volumes = [row["value"] for row in data["hypervolume"]["by_trial"]]
    # Beyond 10 % accuracy and float's latency: 0.8 x 0.5; and 0.78 from there to a quarter; and 0.6 to a fifth.
    assert volumes == pytest.approx([0.4, 0.4 + 0.78 * 0.25, 0.4 + 0.78 * 0.25 + 0.6 * 0.05])
    assert {row["name"]: row["to"] for row in data["changed"]} == {"prune.ratio": [0.3]}
    text = render_search(data)
    assert "Trial 1 is the fastest" in text and "1 given up" in text and "4.00x" in text
    files = write_search(data, tmp_path / "search")
    page = files[1].read_text()
    assert "<b>hopeless" not in page and "<script src" not in page and "Pareto front" in page
    with pytest.raises(ReportError, match=r"trials\[0\].accuracy"):
        validate_search({**data, "trials": [{**data["trials"][0], "accuracy": 2.0}]})


@pytest.mark.parametrize(
    ("found", "budget", "words"),
    [
        (result(0.7, 5.0), {}, "0 lose at most"),
        (result(0.9, 1.1, low=0.9), {}, "0 of these are proven faster"),
        (result(0.9, 2.0), {"max_latency_ms": 0.5}, "1.00 ms is over 0.5 ms"),
        (result(0.9, 2.0, size=2_000_000), {"max_size_mb": 1.0}, "2.00 MB is over 1.0 MB"),
    ],
)
def test_what_is_not_proven_or_outside_the_budget_is_not_chosen(found, budget, words, tmp_path):
    data = told([found], replace(OWN, budget=replace(OWN.budget, **budget)))
    validate_search(data)
    assert data["chosen_trial"] is None and data["changed"] == []
    assert words in " ".join(data["reason"]) and data["reason"][-1] == "So none was chosen."
    assert "So none was chosen." in render_search(data)
    _, page = write_search(data, tmp_path)
    assert "So none was chosen." in page.read_text(encoding="utf-8")


def test_what_was_stopped_while_it_recovered_is_told(tmp_path):
    stop = Stop(epoch=2, epochs=10, accuracy=0.25, median=0.75, trials=6)
    data = told([{**result(0.9, 2.0), "recovery": [0.7, 0.9]}], stopped=stop)
    validate_search(data)
    assert [trial["recovery"] for trial in data["trials"]] == [[0.7, 0.9], []]
    assert data["trials"][1]["stopped"] == stop.to_json() and data["trials"][1]["inside_budget"] is False
    assert "Of these 1 was stopped while recovering, which left out 8 epochs of training." in render_search(data)
    page = write_search(data, tmp_path)[1].read_text()
    assert "Stopped after epoch 2 of 10" in page and "left out 8 epochs" in page


def test_a_search_without_a_finished_trial():
    data = told([])
    validate_search(data)
    assert data["front"] == [] and data["chosen_trial"] is None and not data["complete"]
