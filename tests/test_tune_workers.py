"""Several workers on one search, real databases, and what goes wrong with them: kill -9 and a database that stops."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mysql_server import mysql
from mysql_server import why_not as why_no_mysql
from optuna.trial import TrialState
from postgresql_server import PASSWORD, postgresql, why_not
from stored_trials import load

from edgetune import api
from edgetune.errors import InputError, TuneError
from edgetune.report.validate import validate_tune
from edgetune.tune.liveness import BEAT

pytestmark = pytest.mark.slow
needs_postgresql = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

SPACE = """
[tune]
trials = 4
pruner = "none"
lost_after_seconds = 6
[tune.space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
epochs = [1, 2]
"""
LONG = 120  # epochs of the recipe's own trial, which the tests stop in the middle


@pytest.fixture
def search(project):
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 6", f"epochs = {LONG}") + SPACE)
    return project


@pytest.fixture
def start(search):
    """Starts `edgetune tune`; what still runs at the end is killed."""
    running = []

    def begin(*arguments: str, cwd: Path = search) -> subprocess.Popen:
        with (cwd / f"{len(running)}.log").open("w") as log:
            command = [sys.executable, "-m", "edgetune", "tune", *arguments]
            process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=subprocess.STDOUT)
        process.log = cwd / f"{len(running)}.log"
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def until(condition: Callable[[], object], *processes: subprocess.Popen, seconds: float = 180) -> None:
    """Wait for ``condition``, which may raise while what it looks at is being made."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in processes:
            assert process.poll() in (None, 0), process.log.read_text()
        try:
            if condition():
                return
        except Exception:  # noqa: BLE001 - not yet there
            pass
        time.sleep(0.2)
    raise AssertionError([process.log.read_text() for process in processes])


def in_training(url: str) -> bool:
    return any(t.state is TrialState.RUNNING and len(t.intermediate_values) > 1 for t in load(url))


def kill_the_first(url: str, *workers: subprocess.Popen) -> subprocess.Popen:
    """Kill the worker of the recipe's long trial in the middle of it; returns the other, however far that is."""
    by_pid = {worker.pid: worker for worker in workers}
    until(lambda: BEAT in load(url)[0].user_attrs and len(load(url)[0].intermediate_values) > 1, *workers)
    killed = by_pid.pop(load(url)[0].user_attrs[BEAT]["pid"])
    killed.kill()
    assert load(url)[0].state is TrialState.RUNNING
    return next(iter(by_pid.values()))


def finished(process: subprocess.Popen) -> str:
    assert process.wait(timeout=240) == 0, process.log.read_text()
    return process.log.read_text()


def check_one_retried(data: dict) -> None:
    """Four finished trials, the recipe's own begun again after its worker was lost, none running."""
    validate_tune(data)
    assert data["complete"] and [trial["state"] for trial in data["trials"]] == ["finished"] * 4
    again = [trial for trial in data["trials"] if trial["again_after"]]
    assert [(trial["recipe"], trial["again_after"], trial["workers_lost"]) for trial in again] == [(True, [0], 1)]
    assert again[0]["values"]["epochs"] == LONG and again[0]["history"][-1]["share"] == 1.0


def test_two_workers_on_sqlite_and_one_is_killed(search, start):
    url = f"sqlite:///{search}/tune/search.db"
    log = finished(kill_the_first(url, start(), start()))
    assert "whose worker was lost, again" in log
    check_one_retried(json.loads((search / "tune/tune.json").read_text()))
    assert not [t for t in load(url) if t.state in (TrialState.RUNNING, TrialState.WAITING)]
    # It went on from the checkpoint of the worker that was killed.
    assert api.open_store().work_bytes() == 0


def test_two_workers_through_the_proxy_of_sqlite(search, start):
    recipe = search / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace(f"epochs = {LONG}", "epochs = 2"))
    server = start("--serve", "127.0.0.1:0")
    until(lambda: "--join" in server.log.read_text(), server)
    url = re.search(r"grpc://127\.0\.0\.1:\d+", server.log.read_text()).group()
    for worker in (start("--join", url), start("--join", url)):
        assert "wrote edgetune.tuned.toml" in finished(worker)
    data = json.loads((search / "tune/tune.json").read_text())
    assert data["complete"] and [trial["state"] for trial in data["trials"]] == ["finished"] * 4
    trials = load(f"sqlite:///{search}/tune/search.db")
    assert len(trials) == 4 and server.pid not in {trial.user_attrs[BEAT]["pid"] for trial in trials}


@needs_postgresql
def test_two_workers_through_the_proxy_of_postgresql_and_one_is_killed(search, start, tmp_path_factory):
    with postgresql() as database:
        server = start("--storage", database.url, "--serve", "127.0.0.1:0")
        until(lambda: "--join" in server.log.read_text(), server)
        url = re.search(r"grpc://127\.0\.0\.1:\d+", server.log.read_text()).group()
        direct = database.url.replace("postgresql:", "postgresql+psycopg:")
        log = finished(kill_the_first(direct, start("--join", url), start("--join", url)))
        assert "whose worker was lost, again" in log and "wrote edgetune.tuned.toml" in log
        data = json.loads((search / "tune/tune.json").read_text())
        check_one_retried(data)
        assert data["storage"] == url and server.poll() is None

        # Another recipe is not let in, and told why.
        recipe = search / "edgetune.toml"
        recipe.write_text(recipe.read_text().replace("batch_size = 12", "batch_size = 10"))
        with pytest.raises(InputError, match=r"another recipe; it differs in \[finetune\]$|differs in \[finetune\]\n"):
            api.tune(join=url)
        server.terminate()
        assert server.wait(timeout=30) == 130
        assert PASSWORD not in server.log.read_text()


@pytest.mark.skipif(why_no_mysql() is not None, reason=why_no_mysql() or "")
def test_two_workers_on_mysql_and_one_is_killed(search, start):
    with mysql() as url:
        direct = url.replace("mysql:", "mysql+pymysql:")
        log = finished(kill_the_first(direct, start("--storage", url), start("--storage", url)))
        assert "whose worker was lost, again" in log and PASSWORD not in log
        data = json.loads((search / "tune/tune.json").read_text())
        check_one_retried(data)
        assert data["storage"].startswith("mysql+pymysql://127.0.0.1:")
        assert not [t for t in load(direct) if t.state in (TrialState.RUNNING, TrialState.WAITING)]


@needs_postgresql
@pytest.mark.parametrize("proxy", [False, True], ids=["direct", "through the proxy"])
def test_a_database_that_stops_for_a_while_costs_no_trial(search, start, proxy):
    with postgresql() as database:
        url = database.url.replace("postgresql:", "postgresql+psycopg:")
        reached = ["--storage", database.url]
        if proxy:
            server = start(*reached, "--serve", "127.0.0.1:0")
            until(lambda: "--join" in server.log.read_text(), server)
            reached = ["--join", re.search(r"grpc://\S+", server.log.read_text()).group()]
        worker = start(*reached, "--patience", "120")
        until(lambda: in_training(url), worker)
        database.stop()
        until(lambda: "asking again" in worker.log.read_text(), worker)
        database.start()
        log = finished(worker)
        assert PASSWORD not in log and PASSWORD not in (search / "tune/tune.json").read_text()
        data = json.loads((search / "tune/tune.json").read_text())
        assert [trial["state"] for trial in data["trials"]] == ["finished"] * 4
        assert len(data["trials"][0]["history"]) == 100  # what it missed was told afterwards


@needs_postgresql
def test_a_database_that_stays_away_ends_the_search_with_what_to_do(search, start):
    with postgresql() as database:
        url = database.url.replace("postgresql:", "postgresql+psycopg:")
        worker = start("--storage", database.url, "--patience", "3")
        until(lambda: in_training(url), worker)
        database.stop()
        assert worker.wait(timeout=240) == 1
        log = worker.log.read_text()
        assert "has been away for 3 s" in log and "all finished trials are kept" in log and "Traceback" not in log
        assert "edgetune tune --storage" in log and PASSWORD not in log
        with pytest.raises(TuneError, match="cannot be opened"):
            api.tune(storage=database.url)
        database.start()
        assert finished(start("--storage", database.url))
        data = json.loads((search / "tune/tune.json").read_text())
        (own,) = [trial for trial in data["trials"] if trial["recipe"]]
        assert data["complete"] and own["state"] == "finished" and own["again_after"] == [0]
        assert "(known)" in (search / "1.log").read_text()  # its training was in the store
        with pytest.raises(TuneError, match=r"cannot be opened: .*password authentication failed") as told:
            api.tune(storage=database.url.replace(PASSWORD, "wrong"))
        assert "wrong@" not in str(told.value)


def test_no_search_at_an_address(search):
    with pytest.raises(TuneError, match="no search is served"):
        api.tune(join="grpc://127.0.0.1:9")
