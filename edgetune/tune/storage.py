"""Where a search is kept: SQLite, another database, or Optuna's gRPC proxy in front of one.

What a storage says when it has gone for a while is told apart from what it says when it was asked nonsense, so that
the first is asked again and the second is an error at once.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import grpc
import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, get_storage

from edgetune.errors import InputError, TuneError

R = TypeVar("R")
SCHEME = "grpc"
FIRST_ANSWER_SECONDS = 20.0  # of a proxy
LOCK_SECONDS = 60.0  # that an SQLite file may be held by another process
OPENINGS = 5
MADE_BY_ANOTHER = ("already exists", "unique constraint", "duplicate key", "duplicate entry", "database is locked")
DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
ASK_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)

warnings.filterwarnings("ignore", category=ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)


def resolve(storage: str | None, base: Path, usual: str = "tune/search.db") -> str:
    """The URL of a storage as the recipe or the command line names it, else the ``usual``; files lie by the recipe.

    Raises:
        InputError: neither a URL nor a path.
    """
    unreadable = InputError(  # without its text, which may hold a password
        "the storage is not a URL or path that can be read",
        hint="such as postgresql://user@host/database, sqlite:///search.db, or the path of a file",
    )
    if "\0" in (storage or ""):
        raise unreadable
    if storage is None or "://" not in storage:
        return _sqlite(base / (storage or usual))
    try:
        url = sqlalchemy.make_url(storage)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise unreadable from None
    if url.get_backend_name() == "sqlite":
        return _sqlite(base / (url.database or usual))
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    return url.render_as_string(hide_password=False)


def shown(url: str) -> str:
    """The URL without its password."""
    if url.startswith(f"{SCHEME}://"):
        return url
    return sqlalchemy.make_url(url).render_as_string(hide_password=True)


def told(url: str) -> str:
    """The URL for a report, which is passed on: without password and without anyone's folders."""
    if url.startswith("sqlite://"):
        return f"sqlite:///{Path(str(sqlalchemy.make_url(url).database)).name}"
    return shown(url)


def open_storage(url: str) -> BaseStorage:
    """Connect, and make the tables where there are none.

    Raises:
        InputError: no driver for such a database, an unknown one, or an address that is none.
        TuneError: it does not answer, or does not let us in.
    """
    if url.startswith(f"{SCHEME}://"):
        return _proxy(url)
    parts = sqlalchemy.make_url(url)
    arguments: dict[str, object] = {}
    if parts.get_backend_name() == "sqlite":
        arguments = {"timeout": LOCK_SECONDS}
        _make_folder(Path(str(parts.database)).parent)
    try:
        return get_storage(_with_tables(url, arguments))
    except (ImportError, sqlalchemy.exc.NoSuchModuleError):
        raise InputError(
            f"there is no driver here for {parts.drivername}",
            hint="pip install 'edgetune[tune-postgresql]', for MySQL and MariaDB 'edgetune[tune-mysql]'",
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, RuntimeError, TypeError, ValueError) as error:
        raise TuneError(  # the last two are drivers' words for an option of the URL that they do not take
            f"the storage {shown(url)} cannot be opened: {reason(error)}",
            hint="check the address, the user and that the database runs; nothing was started",
        ) from error


def _with_tables(url: str, arguments: Mapping[str, object]) -> RDBStorage:
    """Two workers that start at once both make the tables: the later one finds them when it looks again."""
    for left in reversed(range(OPENINGS)):
        try:
            storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True, "connect_args": dict(arguments)})
            if storage.engine.dialect.name == "sqlite":
                sqlalchemy.event.listen(storage.engine, "begin", _lock_first)
            return storage
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            text = f"{error} {error.__cause__}".lower()
            if not left or not any(words in text for words in MADE_BY_ANOTHER):
                raise
            time.sleep(FIRST_PAUSE_SECONDS)
    raise AssertionError("the last opening returns or raises")


def _lock_first(connection: sqlalchemy.Connection) -> None:
    """Take SQLite's lock before anything is read, not at the first write.

    Optuna reads that a trial waits and then writes that it runs; between the two another worker could read the same,
    since SQLite has no SELECT ... FOR UPDATE, and both would work on that trial.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, with or without ``grpc://``; an IPv6 host keeps its brackets.

    Raises:
        InputError: it is not that.
    """
    try:
        parts = urlsplit(text if "://" in text else f"{SCHEME}://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.scheme != SCHEME or parts.path not in ("", "/"):
        raise InputError(f"{text!r} is no address of a search", hint="write it as grpc://HOST:PORT")
    return (f"[{host}]" if ":" in host else host), port


def patient(call: Callable[[], R], seconds: float, say: Callable[[str], None], gone: Callable[[str], TuneError]) -> R:
    """``call()``, again and again with longer pauses while the storage does not answer, for ``seconds`` at most.

    Raises:
        TuneError: what ``gone`` makes of the storage's last words.
    """
    started, pause = None, FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except Exception as error:
            if not has_gone(error):
                raise
            now = time.monotonic()
            started = now if started is None else started
            left = started + seconds - now
            if left <= 0:
                raise gone(reason(error)) from error
            say(f"the storage does not answer ({reason(error)}); asking again for {left:.0f} s")
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def has_gone(error: BaseException) -> bool:
    """Whether a storage said that it, or what is behind it, cannot be reached now."""
    if isinstance(error, grpc.RpcError):
        return error.code() in ASK_AGAIN
    return isinstance(
        error,
        StorageInternalError
        | sqlalchemy.exc.OperationalError
        | sqlalchemy.exc.InterfaceError
        | sqlalchemy.exc.InternalError
        | sqlalchemy.exc.TimeoutError,
    )


def reason(error: BaseException) -> str:
    """The first line of what a storage said, without SQL."""
    if isinstance(error, grpc.RpcError):
        text = str(error.details() or error.code().name)
    else:
        cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
        text = str(getattr(cause, "orig", None) or cause)
    return (text.strip() or type(error).__name__).splitlines()[0][:200]


def _sqlite(path: Path) -> str:
    return sqlalchemy.URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}", hint="give another --storage") from error


def _proxy(url: str) -> GrpcStorageProxy:
    host, port = parse_address(url)
    proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=FIRST_ANSWER_SECONDS)
    except ConnectionError:
        raise TuneError(
            f"no search is served at {url}", hint="start it there with --serve, and check the address"
        ) from None
    return proxy
