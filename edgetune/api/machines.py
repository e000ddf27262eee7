"""What this machine and devices can do."""

import shutil
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.api.common import connected, open_store
from edgetune.devices import local
from edgetune.errors import InputError
from edgetune.surroundings import why_not_here
from edgetune.target import all_targets


def doctor(cache_dir: str | Path | None = None) -> dict[str, Any]:
    """The machine, the store's disk, the libraries, and for each target whether its engines run here."""
    store = open_store(cache_dir)
    existing = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    disk = shutil.disk_usage(existing)
    return {
        "machine": local.describe(),
        "versions": pipeline.library_versions(),
        "store": {
            "path": str(store.root),
            "bytes": sum(entry.size_bytes for entry in store.entries()),
            "free_bytes": disk.free,
        },
        "targets": {target.name: why_not_here(target) for target in all_targets()},
    }


def probe(device: str | None = None, output: str | Path | None = None) -> dict[str, Any]:
    """Look at a machine, and write a target file for it.

    Args:
        device: ``ssh://[user@]host[:port]``; None: this machine.
        output: the new target file; None: only look.

    Returns:
        ``device``, ``versions``, ``telemetry``, ``extends`` (the nearest shipped target) and ``file`` (its text).

    Raises:
        DeviceError: it cannot be looked at. InputError: no target is near it; ``output`` exists.
    """
    from edgetune.devices.probe import nearest_target, target_file

    with connected([device] if device else []) as devices:
        found = dict(devices[0].look() if devices else local.look())
    if devices:
        found["device"] = {**found["device"], "name": devices[0].name}
    parent = nearest_target(found, all_targets())
    if parent is None:
        raise InputError(
            f"no target is near {found['device']['arch']}, {found['device']['cpu']}",
            hint="write one that says all: `edgetune targets show x86-cpu` tells the keys",
        )
    found |= {"extends": parent.name, "file": target_file(found, parent)}
    if output is not None:
        path = Path(output)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(found["file"])
        except FileExistsError:
            raise InputError(f"{path} exists and is not overwritten", hint="give another --output") from None
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}", hint="give another --output") from error
    return found
