"""What is told of a search: by what rules the best is named, and a page that hostile names cannot leave."""

import json

import pytest

from edgetune.errors import ReportError
from edgetune.report.tune import best_first, render_tune, verdict, write_tune
from edgetune.report.tune_html import render_tune_html
from edgetune.report.validate import validate_tune

HOSTILE = "</script><script>document.title='taken'</script><img src=http://evil.example/x onerror=alert(1)>"


def trial(number, accuracy, state="finished", **more):
    return {
        "number": number,
        "state": state,
        "recipe": number == 0,
        "accuracy": accuracy,
        "values": {"learning_rate": 0.01 * (number + 1), "strategy": "full"},
        "history": [{"share": 0.5, "accuracy": 0.4}],
        "seconds": 1.5,
        "worker": "worker 1",
        "again_after": [],
        "workers_lost": 0,
        "reason": None,
        **more,
    }


@pytest.fixture
def found():
    return {
        "schema": "edgetune.tune/1",
        "edgetune": "0.1.0",
        "optuna": "5.0.0",
        "created": "2026-11-21T08:00:00+00:00",
        "study": "edgetune-0123456789ab",
        "storage": "sqlite:///search.db",
        "model": "torchvision/resnet18",
        "pruner": "median",
        "seed": 0,
        "trials_wanted": 4,
        "complete": True,
        "validation_samples": 200,
        "guessing": 0.3,
        "space": [
            {"name": "learning_rate", "low": 1e-4, "high": 0.1, "log": True},
            {"name": "strategy", "choices": ["full", "gradual"]},
        ],
        "trials": [trial(0, 0.8), trial(1, 0.9), trial(2, None, "pruned"), trial(3, None, "failed", reason="NaN")],
        "recipe_trial": 0,
        "best_trial": 1,
        "changed": [{"name": "learning_rate", "from": 0.01, "to": 0.02}],
        "importance": {"learning_rate": 0.75, "strategy": 0.25},
    }


def test_the_terminal_says_what_won_over_the_recipe(found):
    text = render_tune(found)
    assert "Trial 1 won: 90.0 % on validation, the recipe as it is has 80.0 %." in text
    assert "learning_rate: 0.02, the recipe has 0.01" in text and "one is 0.50 %" in text
    assert "2 finished, 1 pruned, 1 failed" in text and text.isascii()
    assert all(len(line) <= 100 for line in text.splitlines())
    assert [t["number"] for t in best_first(found)] == [1, 0]


def test_nothing_better_and_nothing_yet(found):
    found |= {"best_trial": 0, "changed": []}
    assert any("Nothing was better than the recipe" in line for line in verdict(found))
    found |= {"best_trial": None, "recipe_trial": None}
    assert verdict(found)[-1] == "No trial has come to its end yet."
    render_tune_html(found)


def test_trials_at_guessing_are_called_so(found):
    for accuracy, words in ((0.3, "trial for 30.0 %. There"), (0.35, "35.0 %, which of 200 samples may be luck")):
        found["trials"] = [trial(0, 0.2), trial(1, accuracy)]
        text = " ".join(" ".join(verdict(found)).split())
        assert "All trials are at guessing" in text and "right for 30.0 % of validation" in text and words in text
        assert "lr-find" in text and "epochs" in text and "check --labels" in text and "won" not in text
    found["trials"] = [trial(0, 0.2), trial(1, 0.37)]  # a chance of 2 % for one trial, and there are two
    assert "Trial 1 won" in " ".join(verdict(found))
    del found["guessing"]  # written by an older version
    found["trials"] = [trial(0, 0.2), trial(1, 0.3)]
    assert "Trial 1 won" in " ".join(verdict(found))


def test_files_are_whole_and_follow_the_schema(found, tmp_path):
    files = write_tune(found, tmp_path / "tune")
    assert [path.name for path in files] == ["tune.json", "tune.html"]
    assert json.loads(files[0].read_text()) == found
    found["trials"][1]["accuracy"] = 1.5
    with pytest.raises(ReportError, match=r"tune.json: trials\[1\].accuracy: 1.5 is greater"):
        validate_tune(found)
    (tmp_path / "file").write_text("")
    found["trials"][1]["accuracy"] = 0.9
    with pytest.raises(ReportError, match="cannot write"):
        write_tune(found, tmp_path / "file")


def test_hostile_text_stays_text(found):
    found |= {"study": HOSTILE, "model": HOSTILE, "storage": HOSTILE}
    found["trials"][1] |= {"worker": HOSTILE, "reason": HOSTILE, "values": {"strategy": HOSTILE}}
    found["changed"] = [{"name": HOSTILE, "from": HOSTILE, "to": HOSTILE}]
    html = render_tune_html(found)
    assert "<script>document.title" not in html and "<img src=http" not in html
    assert "default-src 'none'" in html
