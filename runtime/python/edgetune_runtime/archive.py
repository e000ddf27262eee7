"""Unpack a bundle's ``.tar`` without trusting it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from edgetune_runtime.errors import BundleError
from edgetune_runtime.manifest import is_safe_name

MAX_BYTES = 4 << 30  # no bundle of an edge device comes near


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack plain files only, into the empty ``folder``.

    Raises:
        BundleError: links, devices, names that leave the folder or come twice, more than ``max_bytes``,
            compressed, truncated or no tar.
    """
    total = 0
    try:
        with tarfile.open(archive, "r:") as tar:  # ":" refuses compression, and with it bombs
            for member in tar:
                if not member.isreg() or member.issparse() or member.size < 0 or not is_safe_name(member.name):
                    raise BundleError(f"{archive} holds {member.name!r}, which is no plain file of a bundle: refused")
                total += member.size
                if total > max_bytes:
                    raise BundleError(f"{archive} unpacks to more than {max_bytes} bytes: refused")
                _write(tar, member, folder)
    except FileNotFoundError:
        raise BundleError(f"there is no bundle {archive}") from None
    except (tarfile.TarError, OSError, ValueError, EOFError) as problem:
        raise BundleError(f"{archive} cannot be unpacked: {problem}") from problem
    if total == 0:
        raise BundleError(f"{archive} is empty; copy it again")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    with source, target.open("xb") as file:  # "x": a name that comes twice is refused
        shutil.copyfileobj(source, file)
