"""A bundle's ``manifest.json``: what the engine is, how to feed it, and the digest of every file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.hashing import digest_file

NAME = "manifest.json"
DIGEST = "manifest.sha256"  # of the manifest's bytes, as `sha256sum` writes it: labels cannot change unseen
SCHEMA = "edgetune.bundle/1"


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest of ``folder``, last of its files; ``content`` is all but schema and digests."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": digest_file(path), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (NAME, DIGEST)
    }
    manifest = {"schema": SCHEMA, **content, "files": files}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")
    (folder / DIGEST).write_text(f"{digest_file(folder / NAME)}  {NAME}\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder this program wrote."""
    content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return content


def signature(name: str, shape: list[int | str], dtype: str = "float32") -> dict[str, Any]:
    """One input or output; "batch" stands for any number of samples, "length" for any number of tokens."""
    return {"name": name, "shape": shape, "dtype": dtype}
