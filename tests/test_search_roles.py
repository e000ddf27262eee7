"""Training workers and a device worker of one search, on a real PostgreSQL and a real S3-compatible server.

Each worker has a store of its own, as on a machine of its own. One that trains is killed, and one that measures.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import optuna
import pytest
from click.testing import CliRunner
from optuna.trial import TrialState
from postgresql_server import postgresql, why_not
from s3_server import s3_server
from stored_trials import load
from test_search_workers import the_one_with_the_long_trial

from edgetune.cli import cli
from edgetune.plan import make_trial_plan
from edgetune.recipe import load_recipe
from edgetune.records import Pruning
from edgetune.report.validate import validate_search
from edgetune.search import roles
from edgetune.search.trial import on_the_device_of
from edgetune.surroundings import look_around
from edgetune.target import load_target

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # three processes on two cores
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


def divided(project):
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("epochs = 6", "epochs = 1").replace("recovery_epochs = 2", "recovery_epochs = 60")
    recipe.write_text(text.replace("ratio = [0.0, 0.5]", "ratio = [0.5]") + SPACE)
    return recipe


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_networks_are_trained_by_some_and_measured_by_another_and_one_is_killed(project, tmp_path):
    divided(project)
    workers, logs = [], []
    with postgresql() as database, s3_server("networks") as settings:
        url = database.url.replace("postgresql:", "postgresql+psycopg:")

        def start(name, role):
            log = tmp_path / f"{name}.log"
            command = [sys.executable, "-m", "edgetune", "search", "--storage", url, "--work", role]
            command += ["--cache-dir", str(tmp_path / name), "--cache-url", "s3://networks/search"]
            with log.open("w") as file:
                worker = subprocess.Popen(
                    command,
                    cwd=project,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **settings, **ONE_THREAD},
                )
            workers.append(worker)
            logs.append(log)
            return worker

        try:
            device = start("device", "measure")
            training = [start("one", "train"), start("two", "train")]
            first = the_one_with_the_long_trial(url, training, logs, seconds=400)
            first.kill()
            first.wait()
            other = next(worker for worker in training if worker is not first)
            for worker in (other, device):
                # 3: on a busy machine none may be proven faster than float
                assert worker.wait(timeout=300) in (0, 3), [log.read_text() for log in logs]
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
        trials = load(url)
    assert not [trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    data = json.loads((project / "search/search.json").read_text())
    validate_search(data)
    assert data["complete"] and [trial["state"] for trial in data["trials"]] == ["finished"] * 3
    (again,) = [trial for trial in data["trials"] if trial["again_after"]]
    assert again["values"]["prune.recovery_epochs"] == 60
    assert all(trial["speedup"] for trial in data["trials"])
    made = {name: steps_made_by(tmp_path / f"{name}.log") for name in ("device", "one", "two")}
    assert "fine-tune" not in made["device"] and not any(step.startswith("prune") for step in made["device"])
    assert any(step.startswith("compile") for step in made["device"])
    assert not any(
        step.startswith(("compile", "measure", "evaluate")) for name in ("one", "two") for step in made[name]
    )


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_a_killed_device_worker_is_started_again_and_all_of_them_go_through_the_proxy(project, tmp_path):
    recipe = divided(project)
    text = recipe.read_text().replace("recovery_epochs = 60", "recovery_epochs = 1").replace("[1, 60]", "[1]")
    recipe.write_text(text.replace("trials = 3", "trials = 2"))
    workers = []

    def start(name, *options):
        with (tmp_path / f"{name}.log").open("w") as file:
            command = [sys.executable, "-m", "edgetune", "search", *options]
            environment = {**os.environ, **ONE_THREAD}
            workers.append(subprocess.Popen(command, cwd=project, stdout=file, stderr=file, env=environment))
        return workers[-1]

    def until(condition):
        end = time.monotonic() + 300
        while not (found := condition()):
            assert time.monotonic() < end and all(worker.poll() is None for worker in workers), logs(tmp_path)
            time.sleep(0.05)
        return found

    def claim():
        told = load(url)[0].user_attrs
        return roles.CLAIM in told and roles.RESULT not in told

    with postgresql() as database:
        url = database.url.replace("postgresql:", "postgresql+psycopg:")
        try:
            server = start("server", "--storage", database.url, "--serve", "127.0.0.1:0")
            address = until(
                lambda: re.search(r"grpc://127\.0\.0\.1:\d+", (tmp_path / "server.log").read_text())
            ).group()
            shared = ["--join", address, "--cache-url", str(tmp_path / "shared")]
            measuring = ["--work", "measure", *shared, "--cache-dir", str(tmp_path / "device-store")]
            device = start("device", *measuring)
            training = start("training", "--work", "train", *shared, "--cache-dir", str(tmp_path / "training-store"))
            until(claim)
            device.kill()
            device.wait()
            assert claim()  # it has begun an engine, and not ended it
            workers.remove(device)
            again = start("again", *measuring)
            for worker in (training, again):
                assert worker.wait(timeout=300) in (0, 3), logs(tmp_path)  # 3: none may be proven faster than float
            assert server.poll() is None
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                    worker.wait()
        trials = load(url)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert {trial.user_attrs[roles.CLAIM]["pid"] for trial in trials} == {again.pid}
    data = json.loads((project / "search/search.json").read_text())
    validate_search(data)
    assert data["complete"] and data["storage"] == address
    for trial in data["trials"]:  # whose training worker was never lost
        assert (trial["state"], trial["worker"], trial["workers_lost"]) == ("finished", "worker 1", 0)
        assert trial["speedup"] and not trial["again_after"]
    made = {name: steps_made_by(tmp_path / f"{name}.log") for name in ("device", "again", "training")}
    assert "fine-tune" in made["training"] and "fine-tune" not in made["device"] | made["again"]
    assert "evaluate float on x86-cpu (validation)" in made["device"] - made["again"]  # it was found


def logs(folder):
    return {path.name: path.read_text() for path in folder.glob("*.log")}


def steps_made_by(log):
    """Titles of the steps that a worker ended, but for those it found or was handed."""
    lines = [line.partition("] ")[2].strip() for line in log.read_text().splitlines() if "] " in line]
    return {line.rpartition(": ")[0] for line in lines if line.endswith(" s")}


def test_a_search_that_cannot_be_divided_says_why(project):
    recipe = divided(project)
    alone = CliRunner().invoke(cli, ["search", "--work", "train"])
    assert alone.exit_code == 2 and "--cache-url" in alone.output
    recipe.write_text(recipe.read_text().replace("prune.ratio = [0.5]", "prune.target_speedup = [1.0, 1.5]"))
    steered = CliRunner().invoke(cli, ["search", "--work", "train", "--cache-url", "shared"])
    assert steered.exit_code == 2 and "timed on the device" in steered.output
    assert "EDGETUNE_REMOTE" not in os.environ  # or whatever comes after in this process would share its steps there


def test_who_trains_waits_for_a_device_and_then_says_so(project, monkeypatch):
    divided(project)
    monkeypatch.setattr(roles, "APPEAR_SECONDS", 0.0)
    result = CliRunner().invoke(cli, ["search", "--work", "train", "--cache-url", "shared"])
    assert result.exit_code == 2 and "--work measure" in result.output


def test_a_trained_step_has_one_key_on_both_sides(project):
    recipe, target = load_recipe(divided(project)), load_target("x86-cpu", project)
    there = look_around(recipe, (target,))
    here = replace(there, facts=replace(there.facts, sources={**there.facts.sources, "processor": "another"}))
    adopted = on_the_device_of(there, here)
    plans = [make_trial_plan(recipe, target, side.facts, Pruning(ratio=0.5), "int8") for side in (there, adopted)]
    assert plans[0].steps == plans[1].steps and there.facts.sources == adopted.facts.sources


def test_a_claim_of_a_process_that_has_gone_is_free():
    def running(**attributes):
        trial = optuna.trial.create_trial(state=TrialState.RUNNING)
        trial.user_attrs = {roles.NETWORK: True, **attributes}
        return trial

    def claim(**changes):
        mine = {"place": roles.place(), "pid": os.getpid(), "began": roles.began("self"), "at": time.time()}
        return {roles.CLAIM: mine | changes}

    assert roles._to_measure(running()) and not roles._to_measure(running(**claim()))
    assert roles._to_measure(running(**claim(began="1"))) and roles._to_measure(running(**claim(at=0.0)))
    assert not roles._to_measure(running(**claim(place="elsewhere", began="1")))
    assert not roles._to_measure(running(**{roles.RESULT: {}})) and not roles._to_measure(
        running(**{roles.REFUSED: "x"})
    )
