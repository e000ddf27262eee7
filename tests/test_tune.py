"""`edgetune tune` as its user sees it: real trainings of a tiny network, one worker, SQLite."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from edgetune import api
from edgetune.cli import cli
from edgetune.errors import InputError, RecipeError, TuneError
from edgetune.recipe import load_recipe
from edgetune.report.validate import validate_tune

pytestmark = pytest.mark.slow

SPACE = """
[tune]
trials = 4
pruner = "none"
[tune.space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }  # wide
epochs = [1, 2]
"""


@pytest.fixture
def search(project):
    """The project with a short fine-tuning and a small space."""
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("epochs = 6", "epochs = 1").replace("= 0.01", "= 1e-6  # too low")
    recipe.write_text(f"# mine\n{text}{SPACE}")
    return project


def edit(project: Path, old: str, new: str) -> None:
    path = project / "edgetune.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_it_finds_better_values_and_writes_them_as_a_recipe(search):
    done = CliRunner().invoke(cli, ["tune"])
    assert done.exit_code == 0, done.output
    assert "4 trials, 4 to run" in done.stderr and "trial 0 (the recipe as it is)" in done.stderr
    data = json.loads((search / "tune/tune.json").read_text())
    validate_tune(data)
    best, own = (data["trials"][data[key]] for key in ("best_trial", "recipe_trial"))
    assert own["recipe"] and own["values"] == {"learning_rate": 1e-6, "epochs": 1}
    assert best["accuracy"] == max(trial["accuracy"] for trial in data["trials"]) > own["accuracy"]
    assert f"Trial {best['number']} won" in done.stdout and "the recipe has 1e-06" in done.stdout

    text = (search / "edgetune.tuned.toml").read_text()
    assert "# mine" in text and "# too low" in text and "# wide" in text
    tuned, before = (load_recipe(search / name) for name in ("edgetune.tuned.toml", "edgetune.toml"))
    assert tuned.finetune.learning_rate == best["values"]["learning_rate"] != before.finetune.learning_rate
    assert tuned.finetune.epochs == best["values"]["epochs"] and tuned.prune == before.prune
    # What won need not be trained again.
    _, statuses = api.plan("edgetune.tuned.toml")
    assert next(status.cached for status in statuses if status.step.id == "finetune")

    page = (search / "tune/tune.html").read_text()
    assert str(search) not in page and str(search) not in (search / "tune/tune.json").read_text()
    assert data["study"] in page and "http-equiv" in page and "<script src" not in page


def test_what_it_will_take_is_told_from_the_same_data_and_network_alone(search):
    edit(search, "trials = 4", "trials = 1")
    first = CliRunner().invoke(cli, ["tune"])
    assert "1 trials, 1 to run; searched" in first.stderr
    edit(search, "trials = 1", "trials = 2")
    again = CliRunner().invoke(cli, ["tune"])
    assert "2 trials, 1 to run, about" in again.stderr and "one of this network and data took" in again.stderr
    edit(search, "image_size = 40", "image_size = 32")
    edit(search, "trials = 2", "trials = 1")
    other = CliRunner().invoke(cli, ["tune", "--force"])
    assert other.exit_code == 0, other.output
    assert "1 trials, 1 to run; searched" in other.stderr


def test_the_same_command_goes_on_and_does_nothing_twice(search):
    first = api.tune()
    edit(search, "trials = 4", "trials = 6")
    second = api.tune()
    assert second["study"] == first["study"]
    assert second["trials"][:4] == first["trials"] and len(second["trials"]) == 6
    again = api.tune()
    assert again["trials"] == second["trials"] and again["complete"]
    # Values are drawn per trial, so a search that was interrupted finds what another would have found.
    edit(search, "path = ", "cache_mb = 100\npath = ")
    other = api.tune(storage="other.db", force=True)
    assert [trial["values"] for trial in other["trials"]] == [trial["values"] for trial in second["trials"]]
    assert (search / "other.db").is_file()


def test_a_recipe_that_trains_otherwise_is_another_search(search):
    first = api.tune()
    edit(search, "epochs = 1\n", "epochs = 1\nlabel_smoothing = 0.0\n")
    (search / "edgetune.tuned.toml").unlink()
    assert api.tune()["study"] != first["study"]


def test_pruned_trials_leave_nothing_behind(search):
    edit(search, 'pruner = "none"', 'pruner = "median"')
    edit(search, "trials = 4", "trials = 10")
    edit(search, "epochs = [1, 2]", "epochs = [4]")
    edit(search, "high = 1e-1", "high = 3e-2")
    data = api.tune()
    states = [trial["state"] for trial in data["trials"]]
    assert states.count("pruned") >= 1 and states[0] == "finished"
    pruned = [trial for trial in data["trials"] if trial["state"] == "pruned"]
    assert all(trial["accuracy"] is None and 0 < len(trial["history"]) < 4 for trial in pruned)
    assert api.open_store().work_bytes() == 0
    kept = [entry for entry in api.open_store().entries() if entry.name == "finetune"]
    assert len(kept) == states.count("finished")


def test_a_tuned_recipe_of_someone_else_is_not_overwritten(search):
    mine = search / "edgetune.tuned.toml"
    mine.write_text("# by hand\n")
    done = CliRunner().invoke(cli, ["tune"])
    assert done.exit_code == 2 and "not overwritten" in done.stderr and mine.read_text() == "# by hand\n"
    assert "trial 0" not in done.stderr  # told before anything is trained
    assert CliRunner().invoke(cli, ["tune", "--force"]).exit_code == 0
    assert mine.read_text() != "# by hand\n"
    mine.write_text(mine.read_text() + "# changed\n")
    with pytest.raises(InputError, match="was not written by this search"):
        api.tune()


def test_ctrl_c_ends_with_130_and_the_trial_goes_on_afterwards(search):
    edit(search, "epochs = 1\n", "epochs = 150\n")
    edit(search, "epochs = [1, 2]", "epochs = [1, 150]")
    edit(search, "trials = 4", "trials = 1")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetune", "tune"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wait_for_epochs(search / "tune/search.db", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "go on with: edgetune tune" in errors and "Traceback" not in errors
    first, second = trials(search / "tune/search.db")
    assert first.state is optuna.trial.TrialState.FAIL and second.state is optuna.trial.TrialState.WAITING
    reached = max(first.intermediate_values)
    assert api.open_store().work_bytes() > 0

    data = api.tune()
    (only,) = data["trials"]
    assert only["state"] == "finished" and only["again_after"] == [0] and only["recipe"]
    assert len(only["history"]) > reached / 100 * 100 * 0.5  # it reported the epochs of before too


def test_time_that_is_up_and_trials_that_cannot_be_trained(search):
    edit(search, "trials = 4", "trials = 4\ntimeout_hours = 1e-7")
    with pytest.raises(TuneError, match="the time was up before"):
        api.tune()
    edit(search, "timeout_hours = 1e-7\n", "")
    edit(search, "low = 1e-3, high = 1e-1, log = true", "low = 9, high = 10")
    data = api.tune()
    assert data["complete"] and data["best_trial"] is not None


def test_no_trial_that_can_be_trained(search):
    edit(search, "trials = 4", "trials = 1")
    edit(search, "learning_rate = 1e-6  # too low", "learning_rate = 10\nweight_decay = 1.0\nlayer_decay = 1.0")
    edit(search, 'name = "tiny_network:tiny"', 'name = "diverging:net"')
    (search / "diverging.py").write_text(
        "import torch\nfrom tiny_network import tiny\n\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.net = tiny(num_classes=n)\n"
        "    def forward(self, x):\n        out = self.net(x)\n"
        "        return out * float('nan') if self.training else out\n\n"
        "def net(num_classes):\n    return Net(num_classes)\n"
    )
    done = CliRunner().invoke(cli, ["tune"])
    assert done.exit_code == 1 and "no trial came to an end: the loss became NaN" in done.stderr, done.output
    (only,) = json.loads((search / "tune/tune.json").read_text())["trials"]
    assert only["state"] == "failed" and "NaN" in only["reason"]


def test_nothing_to_search(search):
    edit(search, "epochs = 1\n", 'epochs = 1\nstrategy = "feature-extraction"\n')
    with pytest.raises(RecipeError, match="nothing to search") as refused:
        api.tune()
    assert "label_smoothing or imbalance" in refused.value.hint


def test_what_counts_for_features_can_be_searched(search):
    edit(search, "epochs = 1\n", 'epochs = 1\nstrategy = "feature-extraction"\n')
    edit(
        search,
        "learning_rate = { low = 1e-3, high = 1e-1, log = true }  # wide\nepochs = [1, 2]",
        "label_smoothing = [0.0, 0.2]",
    )
    edit(search, "trials = 4", "trials = 2")
    found = api.tune()
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 2
    # The recipe's own 0.1 is not among the values.
    assert {trial["values"]["label_smoothing"] for trial in found["trials"]} <= {0.0, 0.1, 0.2}


def test_trials_that_only_guess_are_told_and_what_to_do(search):
    edit(
        search,
        "learning_rate = { low = 1e-3, high = 1e-1, log = true }  # wide\nepochs = [1, 2]",
        "learning_rate = [1e-9, 1e-8]",
    )
    edit(search, "trials = 4", "trials = 2")
    done = CliRunner().invoke(cli, ["tune"])
    assert done.exit_code == 0, done.output
    data = json.loads((search / "tune/tune.json").read_text())
    assert data["guessing"] == pytest.approx(1 / 3)
    assert "All trials are at guessing" in done.stdout and "right for 33.3 %" in done.stdout
    assert done.stdout.endswith("next: edgetune lr-find\n") and "won" not in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--storage", "oracle+nonsense://x"], "no driver"),
        (["--storage", "://"], "not a URL"),
        (["--join", "http://here:1"], "no address of a search"),
        (["--join", "grpc://here"], "no address of a search"),
        (["--join", "grpc://a:1", "--serve", "b:2"], "--join takes the storage"),
        (["--serve", "nowhere"], "no address of a search"),
        (["--serve", "192.0.2.1:0"], "cannot listen"),
    ],
)
def test_bad_addresses_get_a_sentence(search, options, words):
    done = CliRunner().invoke(cli, ["tune", *options])
    assert done.exit_code == 2, done.output
    assert words in done.stderr and "Traceback" not in done.stderr


def trials(database: Path) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{database}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def wait_for_epochs(database: Path, process: subprocess.Popen, wanted: int = 2, seconds: float = 120) -> None:
    """Until a running trial has reported a few epochs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        if database.is_file() and database.stat().st_size:
            try:
                if any(len(trial.intermediate_values) >= wanted for trial in trials(database)):
                    return
            except Exception:  # noqa: BLE001 - its tables are just being made
                pass
        time.sleep(0.2)
    raise AssertionError("no epoch was reported")
