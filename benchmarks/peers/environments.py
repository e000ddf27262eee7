"""A virtual environment for each peer, made from its pinned requirements, found again by their content."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


class EnvironmentFailed(Exception):
    """pip could not install a peer; the message is what it said last."""


def default_cache() -> Path:
    """``$EDGETUNE_PEERS``, else ``~/.cache/edgetune-peers``."""
    return Path(os.environ.get("EDGETUNE_PEERS", Path.home() / ".cache/edgetune-peers")).expanduser().absolute()


def python_of(name: str, cache: Path) -> Path:
    """The interpreter of the environment of ``requirements/<name>.txt``; it is made if it is not there.

    Raises:
        EnvironmentFailed: its packages cannot be installed together.
    """
    wanted = REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / f"{name}-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation left
        venv.create(folder, with_pip=True)
        _pip(folder, "install", "--quiet", "--requirement", str(wanted))
        (folder / "complete").touch()
    return folder / "bin/python"


def packages_of(python: Path) -> dict[str, str]:
    """Name and version of all that is installed beside ``python``."""
    lines = _pip(python.parent.parent, "freeze").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _pip(folder: Path, *arguments: str) -> str:
    command = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise EnvironmentFailed(" ".join(said[-3:]))
    return done.stdout
