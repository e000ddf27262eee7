"""A real PostgreSQL for tests, of the system's package, in a temporary folder; stopped and started at will."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "not-to-be-shown"


def binaries() -> Path | None:
    """Where initdb and pg_ctl are; None: not installed."""
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    return versions[-1].parent if versions else None


def why_not() -> str | None:
    """Why there is none here; None: there is."""
    if binaries() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and not shutil.which("runuser"):
        return "PostgreSQL does not run as root, and there is no runuser"
    return None


class Postgresql:
    """One cluster in ``folder``, listening at a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, binaries()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:
            for path in (folder, secret):
                shutil.chown(path, "postgres")
        self._run("initdb", "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "-N")
        self.url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -F"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), "-D", str(self.folder / "data"), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=120)


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """A server that runs until the block is left."""
    with tempfile.TemporaryDirectory(prefix="edgetune-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgresql(Path(folder))
        server.start()
        try:
            yield server
        finally:
            if (server.folder / "data/postmaster.pid").exists():
                server.stop()
