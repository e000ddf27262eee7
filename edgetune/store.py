"""Content-addressed artifacts: what was finished is found again, what was damaged is noticed.

Layout under the root::

    objects/<key>/            a finished step: its files and artifact.json
    work/<key>/out            a step in progress
    work/<key>/scratch        what an interrupted step may go on from (training checkpoints)
    work/<key>/fetched        a step on its way from the shared store (``edgetune.remote``), where there is one
    locks/<key>.lock          held by the process that makes the object

An object appears by one ``os.replace`` after its manifest and files were fsynced, so a reader sees
all of it or nothing, and ``kill -9`` at any moment leaves at most a work folder behind.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgetune.errors import Abandoned, ProcessError, SetAside, StoreError
from edgetune.hashing import canonical_json, digest_file, digest_json, digest_tree
from edgetune.records import Artifact, Step
from edgetune.remote import Remote

MANIFEST = "artifact.json"
NOTES = "notes"  # folder for files on how a result came about (times, curves): checked, but not part of its digest
SCHEMA = "edgetune.artifact/1"
FIELDS = frozenset({"name", "title", "parents", "seconds", "files", "digest"})
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
Body = Callable[[Path, Path], Mapping[str, Any] | None]
KEY = re.compile(r"[0-9a-f]{64}")  # what a folder of work is called; anything else is not ours
LOOK_EVERY_SECONDS = 1.0  # into the shared store, for a step that another machine makes
NO_SPACE_TEXTS = ("No space left on device", "os error 28", "os error 27", "File too large")


def default_root() -> Path:
    """``$EDGETUNE_CACHE``, else ``$XDG_CACHE_HOME/edgetune``, else ``~/.cache/edgetune``."""
    if chosen := os.environ.get("EDGETUNE_CACHE"):
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache").absolute() / "edgetune"


def step_key(step: Step, input_digests: Mapping[str, str], library_versions: Mapping[str, str]) -> str:
    """The key of a step's result: sha256 over everything that may change that result."""
    return digest_json(
        {
            "name": step.name,
            "version": step.version,
            "params": step.params,
            "inputs": dict(input_digests),
            "seed": step.seed,
            "libraries": dict(library_versions),
        }
    )


@contextmanager
def storage_errors(root: Path, option: str = "--cache-dir") -> Iterator[None]:
    """Turn a full disk or an unwritable folder into a StoreError that says what to do; ``option`` names another one.

    Libraries below wrap such errors in types of their own (safetensors, torch), so their text is read too.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise _no_space(root, option) from error
        if error.errno in NOT_WRITABLE:
            raise StoreError(
                f"cannot write {error.filename or root}: {os.strerror(error.errno or 0)}",
                hint="choose a writable folder: "
                + ("set EDGETUNE_CACHE or give --cache-dir" if option == "--cache-dir" else f"give {option}")
                + "; finished steps are untouched",
            ) from error
        if any(text in str(error) for text in NO_SPACE_TEXTS):  # shutil's own error has no number
            raise _no_space(root, option) from error
        raise
    except ProcessError as error:
        if error.__cause__ is not None and any(text in str(error) for text in NO_SPACE_TEXTS):  # else another's disk
            raise _no_space(root, option) from error
        raise
    except Exception as error:
        if any(text in str(error) for text in NO_SPACE_TEXTS):
            raise _no_space(root, option) from error
        raise


def _no_space(root: Path, option: str) -> StoreError:
    place = "set EDGETUNE_CACHE to a larger one" if option == "--cache-dir" else f"give another one with {option}"
    clear = " (`edgetune cache prune`)" if option == "--cache-dir" else ""
    return StoreError(
        f"no space left for {root}",
        hint=f"free some disk{clear} or {place}, then run the same command again: "
        "it goes on from the last finished step",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object as ``edgetune cache`` lists it."""

    key: str
    name: str
    title: str
    size_bytes: int
    seconds: float
    last_used: float  # seconds since the epoch
    parents: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(slots=True)
class Store:
    """The artifacts under one root folder; safe for several processes at once."""

    root: Path
    remote: Remote | None = None  # where steps that other machines finished come from, and ours go
    leaves: frozenset[str] = frozenset()  # names of steps that are not made here, but waited for: others make them
    _verified: set[str] = field(default_factory=set)
    _shared: set[str] = field(default_factory=set)

    def lookup(self, key: str) -> Artifact | None:
        """The finished artifact of ``key``, or None. Its digests are checked once per process."""
        folder = self._object(key)
        manifest = _read_manifest(folder)
        if manifest is None:
            return None
        if key not in self._verified:
            if not _intact(folder, manifest):
                return None
            self._verified.add(key)
        return Artifact(
            kind=str(manifest["name"]),
            key=key,
            digest=str(manifest["digest"]),
            path=folder,
            parents=tuple(manifest["parents"]),
        )

    def make(
        self,
        key: str,
        step: Step,
        parents: tuple[str, ...],
        body: Body,
        *,
        waiting: Callable[[], None] = lambda: None,
    ) -> tuple[Artifact, bool]:
        """Return the artifact of ``key``, running ``body(out, scratch)`` if it is neither here nor in the shared store.

        ``body`` may return what it cost, which is then among the artifact's facts.

        The flag says whether it had been there already. If another process is making it, ``waiting``
        is called once and its result is used. ``scratch`` survives an interrupted body.

        Raises:
            StoreError: for a full disk, an unwritable root, an object that vanishes after it was written, or a shared
                store that stays away.
        """
        with storage_errors(self.root):
            for name in ("objects", "work", "locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            with self._lock(key, waiting):
                if (found := self.lookup(key) or self._fetch(key)) is not None:
                    self._touch(key)
                    self._share(found)
                    return found, True
                if step.name in self.leaves:
                    return self._await(key, waiting), True
                # Present but damaged: it is in the way of its replacement.
                _clear(self._object(key))
                self._build(key, step, parents, body)
        made = self.lookup(key)
        if made is None:
            raise StoreError(f"{step.title}: the result was written but does not read back", hint="check the disk")
        self._share(made)
        return made, False

    def facts(self, artifact: Artifact) -> dict[str, Any]:
        """What the manifest of an artifact says: name, title, seconds, files, ..."""
        manifest = _read_manifest(artifact.path)
        if manifest is None:
            raise StoreError(f"artifact {artifact.key[:12]} has gone", hint="run the same command again")
        return manifest

    def entries(self) -> list[Entry]:
        """Every finished object, the least recently used first."""
        found = []
        for folder in sorted((self.root / "objects").glob("*")):
            manifest = _read_manifest(folder)
            if manifest is not None:
                found.append(
                    Entry(
                        key=folder.name,
                        name=str(manifest["name"]),
                        title=str(manifest["title"]),
                        size_bytes=sum(int(file["size"]) for file in manifest["files"].values()),
                        seconds=float(manifest["seconds"]),
                        last_used=(folder / MANIFEST).stat().st_mtime,
                        parents=tuple(manifest["parents"]),
                        params=manifest.get("params", {}),
                    )
                )
        return sorted(found, key=lambda entry: entry.last_used)

    def work_bytes(self) -> int:
        """Size of what interrupted steps left behind to go on from."""
        return sum(path.stat().st_size for path in (self.root / "work").rglob("*") if path.is_file())

    def prune(self, *, keep_bytes: int = 0, unused_days: float = 0.0) -> list[Entry]:
        """Remove the least recently used objects until ``keep_bytes`` are left; returns what went.

        Objects used within ``unused_days`` and objects a running build holds are kept. With
        ``keep_bytes`` 0 the leftovers of interrupted steps go too.
        """
        entries, removed = self.entries(), []
        total = sum(entry.size_bytes for entry in entries)
        newest = time.time() - unused_days * 86400
        with storage_errors(self.root):
            for entry in entries:
                if total <= keep_bytes or (unused_days and entry.last_used > newest):
                    break
                if self._remove(self._object(entry.key), entry.key):
                    total -= entry.size_bytes
                    removed.append(entry)
            if keep_bytes == 0 and not unused_days:
                for folder in (self.root / "work").glob("*"):
                    if KEY.fullmatch(folder.name):
                        self._remove(folder, folder.name)
        return removed

    # --- inside -----------------------------------------------------------------------------

    def _object(self, key: str) -> Path:
        return self.root / "objects" / key

    def _fetch(self, key: str) -> Artifact | None:
        """The artifact of ``key`` from the shared store, verified; None: it is not there."""
        if self.remote is None:
            return None
        fetched = self.root / "work" / key / "fetched"
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir(parents=True)
        if not self.remote.pull(key, fetched):
            shutil.rmtree(fetched, ignore_errors=True)
            return None
        _fsync_tree(fetched)
        _clear(self._object(key))
        fetched.replace(self._object(key))
        _fsync(self.root / "objects")
        shutil.rmtree(fetched.parent, ignore_errors=True)
        self._shared.add(key)
        return self.lookup(key)

    def _await(self, key: str, waiting: Callable[[], None]) -> Artifact:
        """The artifact of ``key``, once another machine has handed it to the shared store."""
        waiting()
        while (found := self._fetch(key)) is None:
            time.sleep(LOOK_EVERY_SECONDS)
        return found

    def _share(self, artifact: Artifact) -> None:
        """Hand a finished step to the shared store; asked once per process and step."""
        if self.remote is not None and artifact.key not in self._shared:
            self.remote.push(artifact.key, artifact.path, self.facts(artifact)["files"])
            self._shared.add(artifact.key)

    def _touch(self, key: str) -> None:
        os.utime(self._object(key) / MANIFEST)

    @contextmanager
    def _lock(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        lock = FileLock(self.root / "locks" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _remove(self, folder: Path, key: str) -> bool:
        lock = FileLock(self.root / "locks" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        try:
            shutil.rmtree(folder, ignore_errors=True)
            self._verified.discard(key)
        finally:
            lock.release()
        return not folder.exists()

    def _build(self, key: str, step: Step, parents: tuple[str, ...], body: Body) -> None:
        work = self.root / "work" / key
        out, scratch = work / "out", work / "scratch"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        started = time.monotonic()
        try:
            cost = body(out, scratch)
        except SetAside:
            raise  # as after an interruption
        except Abandoned:
            shutil.rmtree(work, ignore_errors=True)
            raise
        files = {
            path.relative_to(out).as_posix(): {"sha256": digest_file(path), "size": path.stat().st_size}
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }
        manifest = {
            "schema": SCHEMA,
            "name": step.name,
            "title": step.title,
            "params": step.params,
            "parents": list(parents),
            "seconds": round(time.monotonic() - started, 3),
            **({} if cost is None else {"cost": dict(cost)}),
            "files": files,
            "digest": _content_digest({name: str(file["sha256"]) for name, file in files.items()}),
        }
        (out / MANIFEST).write_text(canonical_json(manifest), encoding="utf-8")
        _fsync_tree(out)
        out.replace(self._object(key))
        _fsync(self.root / "objects")
        shutil.rmtree(work, ignore_errors=True)


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA or not manifest.keys() >= FIELDS:
        return None
    return manifest if _sound(manifest) else None


def _sound(manifest: Mapping[str, Any]) -> bool:
    """Whether the fields hold what they should; a manifest that does not is damaged."""
    files, parents = manifest["files"], manifest["parents"]
    return (
        isinstance(files, dict)
        and all(isinstance(f, dict) and isinstance(f.get("size"), int) and "sha256" in f for f in files.values())
        and isinstance(parents, list)
        and isinstance(manifest["seconds"], (int, float))
    )


def _clear(place: Path) -> None:
    if place.is_file() or place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place, ignore_errors=True)


def _intact(folder: Path, manifest: Mapping[str, Any]) -> bool:
    digests = {}
    for name, file in manifest["files"].items():
        path = folder / name
        try:
            if path.stat().st_size != file["size"] or digest_file(path) != file["sha256"]:
                return False
        except OSError:
            return False
        digests[name] = file["sha256"]
    return _content_digest(digests) == str(manifest["digest"])


def _content_digest(digests: Mapping[str, str]) -> str:
    return digest_tree({name: digest for name, digest in digests.items() if not name.startswith(f"{NOTES}/")})


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fsync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _fsync(path)
    _fsync(folder)
