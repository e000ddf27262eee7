"""A real MariaDB for tests, of the system's package, in a temporary folder."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

PASSWORD = "not-to-be-shown"
PROGRAMS = ("mariadbd", "mariadb-install-db")
START_SECONDS = 60


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def why_not() -> str | None:
    """Why there is none here; None: there is."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    return f"{', '.join(missing)} not installed (Debian: apt-get install mariadb-server)" if missing else None


@contextmanager
def mysql() -> Iterator[str]:
    """The URL of a server that runs until the block is left."""
    with tempfile.TemporaryDirectory(prefix="edgetune-my-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data = [f"--datadir={folder}/data", *(["--user=root"] if os.getuid() == 0 else [])]
        subprocess.run(
            [str(_program("mariadb-install-db")), "--no-defaults", *data, "--skip-test-db"],
            check=True, stdout=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        begin = folder / "begin.sql"
        begin.write_text(
            "CREATE DATABASE search;\n"  # one statement a line
            f"CREATE USER 'me'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON search.* TO 'me'@'%';\n"
        )
        places = [f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--log-error={folder}/log.err"]
        network = [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        quick = ["--innodb-flush-log-at-trx-commit=0"]  # nothing here outlives the test
        server = subprocess.Popen(
            [str(_program("mariadbd")), "--no-defaults", *data, *places, *network, *quick, f"--init-file={begin}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(server, port, folder / "log.err")
            yield f"mysql://me:{PASSWORD}@127.0.0.1:{port}/search"
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:  # it listens before it has read what it begins with
            pymysql.connect(host="127.0.0.1", port=port, user="me", password=PASSWORD, database="search").close()
            return
        except pymysql.MySQLError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
