"""Unpack a bundle's ``.tar`` without trusting it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from edgetune_runtime.errors import BundleError
from edgetune_runtime.manifest import is_safe_name

MAX_BYTES = 4 << 30  # no bundle of an edge device comes near


def unpack(archive: Path, folder: Path) -> None:
    """Unpack plain files only, into ``folder``.

    Raises:
        BundleError: links, devices, names that leave the folder, more than 4 GiB, truncated or no tar.
    """
    try:
        with tarfile.open(archive) as tar:
            total = 0
            for member in tar:
                if not member.isfile() or not is_safe_name(member.name):
                    raise BundleError("{} holds {!r}, which a bundle never does: refused".format(archive, member.name))
                total += member.size
                if total > MAX_BYTES:
                    raise BundleError("{} declares more than {} bytes: refused".format(archive, MAX_BYTES))
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is None:
                    raise BundleError("{} cannot be unpacked: {!r} has no content".format(archive, member.name))
                with source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except FileNotFoundError:
        raise BundleError("there is no bundle {}".format(archive)) from None
    except (tarfile.TarError, EOFError, OSError) as problem:
        raise BundleError("{} cannot be unpacked: {}".format(archive, problem)) from problem
