"""Digests: canonical JSON and files. Every key in the store comes from here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> str:
    """The one spelling of ``value`` as JSON: sorted keys, no spaces, no NaN (RFC 8785 in spirit).

    Raises:
        ValueError: for NaN or infinity. TypeError: for what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_json(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_tree(files: Mapping[str, str]) -> str:
    """Digest of a set of files given as {relative name: sha256}."""
    return digest_json(dict(files))
