"""Engines to be timed: any ONNX file, or a bundle as a folder or a ``.tar``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgetune_runtime import Engine
from edgetune_runtime.archive import unpack
from edgetune_runtime.engine import TYPES
from edgetune_runtime.errors import LibraryError, RuntimeProblem
from edgetune_runtime.external_data import outside
from edgetune_runtime.manifest import read_manifest
from edgetune_runtime.session import DEFAULT, open_session, settings
from numpy.typing import NDArray

from edgetune.errors import InputError
from edgetune.hashing import digest_file
from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.measure.inputs import Declared
from edgetune.measure.latency import Call

MOST_FOLDERS = 3  # in a name


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """An ONNX file that has been loaded once, and how it is to be run; ``session`` is that of a manifest."""

    name: str
    shown: str  # file name, without the folders of whoever measured
    file: Path
    session: Mapping[str, Any]
    inputs: tuple[Declared, ...]
    sha256: str
    size_bytes: int
    folder: Path | None = None  # of a bundle


@contextmanager
def find_engines(
    paths: Sequence[Path], *, threads: int, self_test: bool = True, backends: Sequence[str] = (DEFAULT,)
) -> Iterator[list[EngineFile]]:
    """The engines at ``paths``; bundles are verified and tested, and a ``.tar`` stays unpacked meanwhile.

    Args:
        backends: the libraries each ONNX file is opened in; a bundle has one of its own.
        self_test: run a bundle's golden samples here; not where it is made for another device.

    Raises:
        InputError: names the path that is missing, damaged or refused by ONNX Runtime.
    """
    with ExitStack() as stack:
        yield [
            _find(path, name + (f"@{backend}" if len(wanted) > 1 else ""), backend, threads, self_test, stack)
            for path, name in zip(paths, unique_names(paths), strict=True)
            for wanted in ([DEFAULT] if _is_bundle(path) else list(dict.fromkeys(backends)),)
            for backend in wanted
        ]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short names, all different: the stem, with the folders that tell alike ones apart, numbered where none do."""
    stems = {path: path.stem if path.suffix in (".onnx", ".ort", ".tar") else path.name for path in paths}
    alike: dict[str, list[Path]] = {}
    for path, stem in stems.items():
        alike.setdefault(stem, []).append(path)
    names = [_named(path, stems[path], alike[stems[path]]) for path in paths]
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[position] = f"{name}#{seen[name]}"
    return names


def _named(path: Path, stem: str, alike: Sequence[Path]) -> str:
    """The stem with as few folders as are different for all that have it; with one where up to three are not."""
    if len(alike) == 1:
        return stem
    for depth in range(1, MOST_FOLDERS + 1):
        if len({_folders(one, depth) for one in alike}) == len(alike):
            return f"{_folders(path, depth)}/{stem}"
    return f"{_folders(path, 1)}/{stem}"


def _folders(path: Path, depth: int) -> str:
    return "/".join(_folder(path, number) for number in range(depth, 0, -1))


def _folder(path: Path, depth: int) -> str:
    """The name of the folder so far up, unless it is that of a user."""
    folders = path.absolute().parents
    folder = folders[min(depth, len(folders)) - 1]
    return "~" if folder == Path.home() else folder.name


def bundle_engine(name: str, folder: Path) -> EngineFile:
    """The engine of a bundle that is known to be whole; it is not loaded."""
    manifest = read_manifest(folder)
    file = folder / manifest["engine"]["file"]
    inputs = [
        Declared(name=one["name"], type=TYPES[one["dtype"]], shape=tuple(one["shape"])) for one in manifest["inputs"]
    ]
    return EngineFile(
        name=name, shown=name, file=file, session=settings(manifest), inputs=tuple(inputs),
        sha256=digest_file(file), size_bytes=file.stat().st_size, folder=folder,
    )  # fmt: skip


@contextmanager
def loaded(engine: EngineFile, inputs: Mapping[str, NDArray[np.generic]], threads: int) -> Iterator[Call]:
    """One inference of a session made for the purpose."""
    run, feed = open_session(engine.file, dict(engine.session), threads).run, dict(inputs)
    yield lambda: run(None, feed)


def _is_bundle(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".tar"


def _find(path: Path, name: str, backend: str, threads: int, self_test: bool, stack: ExitStack) -> EngineFile:
    if not path.exists():
        raise InputError(f"there is no {path}", hint="give ONNX files, or bundles as folders or .tar")
    is_bundle = _is_bundle(path)
    if not is_bundle and (weights := outside(path)) is not None:
        raise InputError(
            f"{path} keeps weights outside its folder: {weights}", hint="save them beside it, not as links"
        )
    try:
        file, session = _bundle(path, self_test, stack) if is_bundle else (path, {"backend": backend})
        declared = [
            Declared(name=one.name, type=one.type, shape=tuple(one.shape))
            for one in open_session(file, dict(session), threads).get_inputs()
        ]
    except LibraryError as problem:
        raise InputError(f"{path}: {problem}") from problem
    except RuntimeProblem as problem:
        raise InputError(f"{path} is no bundle that can be run: {problem}") from problem
    except Exception as problem:  # onnxruntime's share no base of their own
        why = " ".join(str(problem).split())
        raise InputError(
            f"{path} cannot be loaded: {why}", hint=f"{_title(backend)} refuses it; is it a whole ONNX file?"
        ) from problem
    return EngineFile(
        name=name, shown=path.name, file=file, session=session, inputs=tuple(declared),
        sha256=digest_file(file), size_bytes=file.stat().st_size, folder=file.parent if is_bundle else None,
    )  # fmt: skip


def _title(backend: str) -> str:
    return INFERENCE_LIBRARIES[backend].title


def _bundle(path: Path, self_test: bool, stack: ExitStack) -> tuple[Path, Mapping[str, Any]]:
    """The engine of a bundle and its session settings."""
    folder = path
    if not path.is_dir():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgetune-bench-")))
        unpack(path, folder)
    with Engine.open(folder, self_test=self_test):
        manifest = read_manifest(folder)
    return folder / manifest["engine"]["file"], settings(manifest)
