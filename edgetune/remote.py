"""Finished steps in a place that several machines share: a folder, or an S3-compatible store, by fsspec.

Layout under the URL::

    files/<sha256>              the content of a file, once however many steps have it
    objects/<key>/artifact.json a finished step's manifest: which files, under which names

A manifest is written after its files, and a file under its own digest: whoever sees a manifest finds all of it, two who
write the same thing write the same bytes, and what arrives is verified against its digest.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgetune.errors import InputError, StoreError
from edgetune.hashing import digest_file

VARIABLE = "EDGETUNE_REMOTE"
MANIFEST = "artifact.json"
WAITS = (0.5, 2.0, 5.0)  # seconds between tries of a transfer
LOCAL = ("file", "local")
DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"(?!/)(?!.*(^|/)\.\.?(/|$))[^\\\0]+")  # of a file in an artifact: a path below it


@dataclass(frozen=True, slots=True)
class Remote:
    """The finished steps under one URL."""

    url: str
    _files: Any  # fsspec.AbstractFileSystem
    _root: str

    def reach(self) -> None:
        """See that the place answers.

        Raises:
            StoreError: it does not.
        """
        self._try(partial(self._files.exists, self._root))

    def pull(self, key: str, folder: Path) -> bool:
        """Fetch the step of ``key`` into ``folder``, which is empty; False: it is not there, or damaged.

        Raises:
            StoreError: the place stayed away.
        """
        if (found := self._read(key)) is None:
            return False
        text, manifest = found
        for name, file in manifest["files"].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            blob = self._blob(str(file["sha256"]))
            try:
                self._try(partial(self._files.get_file, blob, str(path)))
            except FileNotFoundError:
                self._forget(self._manifest(key))
                return False
            if digest_file(path) != file["sha256"]:
                self._forget(self._manifest(key), blob)
                return False
        (folder / MANIFEST).write_bytes(text)
        return True

    def push(self, key: str, folder: Path, files: dict[str, Any]) -> None:
        """Hand over a finished step: ``files`` {name: {"sha256", "size"}} of ``folder``, then its manifest.

        Raises:
            StoreError: the place stayed away, or cannot be written.
        """
        if self._try(partial(self._files.exists, self._manifest(key))):
            return
        for name, file in files.items():
            blob = self._blob(str(file["sha256"]))
            if not self._try(partial(self._files.exists, blob)):
                self._try(partial(self._put, folder / name, blob), reading=False)
        self._try(partial(self._put, folder / MANIFEST, self._manifest(key)), reading=False)

    def _read(self, key: str) -> tuple[bytes, dict[str, Any]] | None:
        """The manifest of ``key`` as it is there and as data; None where there is none that can be used."""
        try:
            text = bytes(self._try(partial(self._files.cat_file, self._manifest(key))))
            manifest = json.loads(text)
            files = manifest["files"].items()
            sound = all(NAME.fullmatch(name) and DIGEST.fullmatch(file["sha256"]) for name, file in files)
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return (text, manifest) if sound else None

    def _forget(self, *paths: str) -> None:
        """Remove what is damaged: it is in the way of its replacement, which whoever makes the step again brings."""
        for path in paths:
            with suppress(FileNotFoundError):
                self._try(partial(self._files.rm_file, path))

    def _manifest(self, key: str) -> str:
        return f"{self._root}/objects/{key}/{MANIFEST}"

    def _blob(self, digest: str) -> str:
        return f"{self._root}/files/{digest}"

    def _put(self, source: Path, destination: str) -> None:
        """Upload; in a folder under another name first, so that nobody sees half of it (of S3 nobody ever does)."""
        if self._files.protocol not in (LOCAL[0], LOCAL):
            self._files.put_file(str(source), destination)
            return
        Path(destination).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{destination}.{uuid.uuid4().hex[:8]}.partial")
        partial.write_bytes(source.read_bytes())
        partial.replace(destination)

    def _try(self, call: Callable[[], Any], *, reading: bool = True) -> Any:
        """Again after a moment when the place is away. What is not there to be read is told as it is."""
        for wait in (*WAITS, None):
            try:
                self._files.invalidate_cache()  # others write there too
                return call()
            except Exception as error:
                if reading and isinstance(error, FileNotFoundError):
                    raise
                if wait is None:
                    raise StoreError(
                        f"the shared store {told(self.url)} cannot be used: {' '.join(str(error).split())[:200]}",
                        hint="finished steps are kept here; the same command goes on, without --cache-url (and "
                        f"{VARIABLE}) on this machine alone",
                    ) from error
                time.sleep(wait)
        raise AssertionError  # the last turn returns or raises


def open_remote(url: str) -> Remote:
    """The shared store at ``url``: a folder, ``s3://bucket/prefix``, or whatever fsspec has a library for.

    Raises:
        InputError: no URL of a place for files, or its library is missing. StoreError: it cannot be reached.
    """
    import fsspec  # a build without a shared store does without

    try:
        files, root = fsspec.core.url_to_fs(str(Path(url).absolute()) if "://" not in url else url)
    except ImportError as error:
        raise InputError(
            f"{told(url)} needs a library that is missing: {error}", hint="pip install 'edgetune[remote]'"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{told(url)} is no place for files: {error}", hint="give a folder or s3://BUCKET/PREFIX"
        ) from error
    remote = Remote(url, files, root.rstrip("/"))
    remote.reach()
    return remote


def told(url: str) -> str:
    """The URL without what may be secret in it."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url.partition("?")[0]
    return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2], query="").geturl()
