"""Addresses of storages, and patience with one that is away."""

import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import optuna
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from edgetune.errors import InputError, TuneError
from edgetune.tune.storage import has_gone, open_storage, parse_address, patient, reason, resolve, shown

AWAY = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("connection refused\nand more"))


def test_files_lie_by_the_recipe_and_postgresql_gets_its_driver():
    base = Path("/home/me/project")
    assert resolve(None, base) == "sqlite:////home/me/project/tune/search.db"
    assert resolve("mine.db", base) == resolve("sqlite:///mine.db", base) == "sqlite:////home/me/project/mine.db"
    assert resolve("sqlite:////data/all.db", base) == "sqlite:////data/all.db"
    assert resolve("postgresql://me:a%40b@host:5433/db", base) == "postgresql+psycopg://me:a%40b@host:5433/db"
    for written in ("mysql", "mariadb", "mysql+pymysql"):
        assert resolve(f"{written}://host/db", base) == "mysql+pymysql://host/db"


@given(password=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=8))
def test_a_password_is_never_shown(password):
    url = resolve(f"postgresql://me:{password}@host/db", Path("/"))
    assert f":{password}@" not in shown(url) and "me" in shown(url)


@given(text=st.text(max_size=40))
def test_an_address_is_read_or_refused_with_a_sentence(text):
    try:
        host, port = parse_address(text)
    except InputError as error:
        assert "no address" in error.message
    else:
        assert host and 0 <= port <= 65535


@pytest.mark.parametrize("text", ["postgresql://u:geheim@:x/", "postgresql://u:geheim@h/a\0b", "geheim\0.db", "://"])
def test_what_is_no_storage_is_refused_and_its_password_not_shown(text):
    with pytest.raises(InputError, match="not a URL or path") as caught:
        resolve(text, Path("/"))
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_addresses_with_and_without_scheme():
    assert parse_address("grpc://desk:13000") == parse_address("desk:13000") == ("desk", 13000)
    assert parse_address("grpc://[::1]:1/") == ("[::1]", 1)
    for bad in ("desk", "http://desk:1", "desk:port", "desk:99999", "grpc://desk:1/path"):
        with pytest.raises(InputError):
            parse_address(bad)


def test_what_is_away_is_asked_again_with_longer_pauses(monkeypatch):
    pauses, said, answers = [], [], [AWAY, AWAY, AWAY, None]
    monkeypatch.setattr("edgetune.tune.storage.time.sleep", pauses.append)

    def call():
        if (error := answers.pop(0)) is not None:
            raise error
        return "found"

    assert patient(call, 60.0, said.append, TuneError) == "found"
    assert pauses == [0.5, 1.0, 2.0] and "connection refused" in said[0] and "and more" not in said[0]


def test_patience_ends_and_nonsense_is_not_asked_again():
    def away():
        raise AWAY

    with pytest.raises(TuneError, match="gave up: connection refused"):
        patient(away, 0.0, lambda _: None, lambda words: TuneError(f"gave up: {words}"))

    def nonsense():
        raise ValueError("no such trial")

    with pytest.raises(ValueError, match="no such trial"):
        patient(nonsense, 60.0, lambda _: None, TuneError)
    assert has_gone(AWAY) and not has_gone(ValueError()) and reason(AWAY) == "connection refused"


def test_what_cannot_be_opened(tmp_path):
    (tmp_path / "file").write_text("no database, and long enough to be read as the header of one: " + "x" * 200)
    with pytest.raises(TuneError, match="cannot be opened: file is not a database"):
        open_storage(resolve("file", tmp_path))
    with pytest.raises(InputError, match="cannot make"):
        open_storage(resolve("file/search.db", tmp_path))
    with pytest.raises(TuneError, match=r"u:\*\*\*@h/db.* cannot be opened: .*'x'"):
        open_storage("mysql+pymysql://u:geheim@h/db?x=1")
    with pytest.raises(InputError, match="no driver here"):
        open_storage("oracle+nonsense://host/db")


def test_a_waiting_trial_of_a_file_is_given_to_one_worker(tmp_path):
    url, workers, trials = f"sqlite:///{tmp_path}/search.db", 4, 16
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    for number in range(trials):
        study.enqueue_trial({"x": number})
    together = Barrier(workers)

    def take(_):
        mine = optuna.load_study(storage=open_storage(url), study_name="s")
        taken = []
        for _ in range(trials // workers):
            together.wait()
            taken.append(mine.ask().number)
        return taken

    with ThreadPoolExecutor(workers) as pool:
        taken = [number for some in pool.map(take, range(workers)) for number in some]
    assert sorted(taken) == list(range(trials))
