"""Read a bundle's ``manifest.json`` and hold it against the files beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edgetune_runtime.errors import BundleError

NAME = "manifest.json"
SCHEMA = "edgetune.bundle/"
VERSION = 1
REQUIRED = {
    "engine": dict,
    "inputs": list,
    "outputs": list,
    "preprocessing": dict,
    "labels": list,
    "session": dict,
    "files": dict,
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the bundle in ``folder``, checked for its form.

    Raises:
        BundleError: missing, not JSON, of another or a newer schema, or with keys missing.
    """
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError("{} has no {}: not a bundle".format(folder, NAME)) from None
    except (OSError, ValueError) as problem:
        raise BundleError("{} cannot be read: {}".format(path, problem)) from problem
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, str) or not schema.startswith(SCHEMA) or not schema[len(SCHEMA) :].isdigit():
        raise BundleError("{} is not a bundle of edgetune (schema {!r})".format(path, schema))
    if int(schema[len(SCHEMA) :]) > VERSION:
        raise BundleError("the bundle's schema is {}, newer than this version knows: update edgetune-runtime".format(schema))
    for key, kind in REQUIRED.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleError("{}: {!r} is missing or not a {}".format(path, key, kind.__name__))
    if manifest["engine"].get("file") not in manifest["files"]:
        raise BundleError("{}: the engine is not among its files".format(path))
    return manifest


def verify_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Hold every file against its size and sha256.

    Raises:
        BundleError: unsafe names, links, missing, truncated or altered files.
    """
    root = folder.resolve()
    for name, facts in manifest["files"].items():
        path = folder / name
        if not is_safe_name(name) or path.is_symlink() or root not in path.resolve().parents:
            raise BundleError("the manifest names a file outside the bundle: {!r}".format(name))
        try:
            size, expected = int(facts["size"]), facts["sha256"]
        except (KeyError, TypeError, ValueError):
            raise BundleError("the manifest has no size and digest of {}".format(name)) from None
        if not path.is_file():
            raise BundleError("the bundle lacks {}: copy it again".format(name))
        if path.stat().st_size != size:
            raise BundleError("{} has {} bytes instead of {}: copy the bundle again".format(name, path.stat().st_size, size))
        if sha256(path) != expected:
            raise BundleError("{} was altered: its digest is not the manifest's".format(name))


def is_safe_name(name: str) -> bool:
    """Whether a name stays inside the folder it is joined to, on every system."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and "" not in parts and "." not in parts and ".." not in parts and ":" not in name


def sha256(path: Path) -> str:
    """sha256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
