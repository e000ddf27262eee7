"""targets/*.toml -> frozen Target. The package's own files are found as package data of ``edgetune.targets``."""

import platform
from importlib.resources import files
from pathlib import Path

from edgetune.errors import TargetError
from edgetune.records import Target
from edgetune.toml import into_record, nearest, read_toml


def target_files() -> dict[str, Path]:
    """{name: file} of the targets that ship with edgetune, sorted by name."""
    folder = Path(str(files("edgetune.targets")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def all_targets() -> tuple[Target, ...]:
    """Every shipped target."""
    return tuple(read_target(path) for path in target_files().values())


def load_target(name: str) -> Target:
    """The target called ``name``, or whose alias it is.

    Raises:
        TargetError: for an unknown name, with the nearest known one.
    """
    known = target_files()
    if name in known:
        return read_target(known[name])
    targets = all_targets()
    for target in targets:
        if name in target.aliases:
            return target
    names = [*known, *(alias for target in targets for alias in target.aliases)]
    raise TargetError(
        f'unknown target "{name}"', hint=nearest(name, names, "target") + " (`edgetune targets` lists them)"
    )


def read_target(path: Path) -> Target:
    """Read one target file.

    Raises:
        TargetError: with file, line and the nearest valid key.
    """
    file = read_toml(path, TargetError)
    return into_record(Target, file.data, file, given={"name": path.stem})


def same_arch(target: Target, machine: str | None = None) -> bool:
    """Whether this machine's processor runs what ``target`` is compiled for."""
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    machine = (machine or platform.machine()).lower()
    return target.arch in ("any", names.get(machine, machine))
