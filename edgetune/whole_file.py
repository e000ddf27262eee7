"""Files that are there whole or not at all, also where the disk is full or the process is killed in between.

Each is written under another name beside its own (``.NAME.partial``), which the next attempt replaces.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_over(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, in place of what is there.

    Raises:
        OSError: it cannot be written; what was there still is.
    """
    partial = _partial(path)
    try:
        _write(partial, content)
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise


def write_new(files: Mapping[Path, bytes]) -> None:
    """Put down all of ``files``, or none of them.

    Raises:
        FileExistsError: there is one already; it stays as it is.
        OSError: one cannot be written.
    """
    placed = []
    try:
        for path, content in files.items():
            _write(_partial(path), content)
        for path in files:
            _place(_partial(path), path)
            placed.append(path)
    except BaseException:
        for path in placed:
            _remove(path)
        raise
    finally:
        for path in files:
            _remove(_partial(path))


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _write(partial: Path, content: bytes) -> None:
    """A new file: what a kill left may be a second link to a whole one, which must not change."""
    partial.unlink(missing_ok=True)
    with partial.open("xb") as file:
        file.write(content)


def _place(partial: Path, path: Path) -> None:
    """Give a file its own name, which no other may have: a rename would overwrite, a second link does not."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links (FAT, some network drives)
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        partial.rename(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
