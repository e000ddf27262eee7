"""Two workers on one search over compression; one is killed while it builds."""

import json
import subprocess
import sys
import time

import pytest
from optuna.trial import TrialState
from stored_trials import load

from edgetune.report.validate import validate_search
from edgetune.tune.liveness import BEAT

pytestmark = pytest.mark.slow

SPACE = """
[budget]
max_accuracy_drop = 100.0
[search]
trials = 3
lost_after_seconds = 6
[search.space]
prune.ratio = [0.5]
prune.recovery_epochs = [1, 60]
quantize.mode = ["none", "ptq"]
"""


def test_what_a_killed_worker_had_is_made_by_the_other(project):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("epochs = 6", "epochs = 1").replace("recovery_epochs = 2", "recovery_epochs = 60")
    text = text.replace("pretrained = false", "pretrained = false\nargs = { width = 64 }")  # INT8 is faster, proven so
    recipe.write_text(text.replace("ratio = [0.0, 0.5]", "ratio = [0.5]") + SPACE)
    url, logs, workers = f"sqlite:///{project}/search/search.db", [], []
    try:
        for number in range(2):
            logs.append(project / f"{number}.log")
            with logs[-1].open("w") as log:
                command = [sys.executable, "-m", "edgetune", "search"]
                workers.append(subprocess.Popen(command, cwd=project, stdout=log, stderr=subprocess.STDOUT))
        first = the_one_with_the_long_trial(url, workers, logs)
        first.kill()
        first.wait()
        other = next(worker for worker in workers if worker is not first)
        assert other.wait(timeout=300) == 0, [log.read_text() for log in logs]
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
    data = json.loads((project / "search/search.json").read_text())
    validate_search(data)
    assert data["complete"] and [trial["state"] for trial in data["trials"]] == ["finished"] * 3
    (again,) = [trial for trial in data["trials"] if trial["again_after"]]
    assert (again["again_after"], again["workers_lost"]) == ([0], 1)
    assert again["values"] == {"prune.ratio": 0.5, "prune.recovery_epochs": 60, "quantize.mode": "ptq"}
    assert not [trial for trial in load(url) if trial.state in (TrialState.RUNNING, TrialState.WAITING)]


def the_one_with_the_long_trial(url, workers, logs, seconds=240):
    """The worker that has begun trial 0, however far the other is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert all(worker.poll() is None for worker in workers), [log.read_text() for log in logs]
        try:
            trial = load(url)[0]
            if trial.state is TrialState.RUNNING and BEAT in trial.user_attrs:
                return next(worker for worker in workers if worker.pid == trial.user_attrs[BEAT]["pid"])
        except Exception:  # noqa: BLE001 - its tables are just being made
            pass
        time.sleep(0.1)
    raise AssertionError([log.read_text() for log in logs])
