"""Find a dataset's samples and labels without reading the files.

Understood: split folders of class folders (``train/``, ``val/`` or ``valid/`` or ``validation/``,
``test/``), one folder of class folders, and a CSV with columns ``path,label`` and optionally ``split``.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgetune.errors import DataError
from edgetune.hashing import digest_json

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One labelled file; ``split`` is None where the data does not say."""

    path: str  # relative to the root, with forward slashes
    label: int
    split: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a dataset. ``labels`` are sorted, ``samples`` are sorted by path."""

    root: Path
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]


def scan(path: Path) -> Listing:
    """List the samples under ``path`` (a folder or a CSV).

    Raises:
        DataError: missing, empty or inconsistent data; one class only; a class of val or test that train lacks.
    """
    if not path.exists():
        raise DataError(f"there is no dataset at {path}", hint="check `[data] path`; it is relative to the recipe")
    found = list(_csv_rows(path)) if path.is_file() else list(_folder_rows(path))
    if not found:
        raise DataError(
            f"{path} holds no images in class folders",
            hint="expected folders of classes (cat/1.jpg, dog/2.jpg), under train/, val/, test/ or directly, "
            f"with files ending in {', '.join(sorted(EXTENSIONS))}",
        )
    _check_classes(found, path)
    labels = tuple(sorted({label for _, label, _ in found}))
    index = {label: number for number, label in enumerate(labels)}
    samples = tuple(
        Sample(path=name, label=index[label], split=split)
        for name, label, split in sorted(found, key=lambda row: row[0])
    )
    return Listing(root=data_root(path), labels=labels, samples=samples)


def data_root(path: Path) -> Path:
    """The folder sample paths are relative to: the dataset's, or that of its CSV."""
    return path.parent if path.is_file() else path


def fingerprint(listing: Listing) -> str:
    """Digest of names, labels, sizes and times of change; reads no file."""
    rows = []
    for sample in listing.samples:
        try:
            facts = (listing.root / sample.path).stat()
            rows.append((sample.path, sample.label, sample.split, facts.st_size, facts.st_mtime_ns))
        except OSError:
            rows.append((sample.path, sample.label, sample.split, -1, 0))
    return digest_json([listing.labels, rows])


Row = tuple[str, str, str | None]
"""(relative path, label, split)"""


def _folder_rows(path: Path) -> Iterator[Row]:
    folders = _subfolders(path)
    splits = {name: SPLITS[name.lower()] for name in folders if name.lower() in SPLITS}
    if "train" not in splits.values():
        for name in folders:
            yield from _class_rows(path, name, name, None)
        return
    if len(set(splits.values())) < len(splits):
        raise DataError(f"{path} has the same split twice: {', '.join(sorted(splits))}", hint="keep one of them")
    for folder, split in splits.items():
        for name in _subfolders(path / folder):
            yield from _class_rows(path, f"{folder}/{name}", name, split)


def _subfolders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read the folder {path}: {error.strerror}") from error


def _class_rows(root: Path, folder: str, label: str, split: str | None) -> Iterator[Row]:
    """The images of one class folder, also those in its subfolders."""
    for place, folders, names in os.walk(root / folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield (Path(place) / name).relative_to(root).as_posix(), label, split


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text", hint="save the CSV as UTF-8") from error
    reader = csv.DictReader(text.splitlines(keepends=True), skipinitialspace=True)
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if "path" not in columns or "label" not in columns:
        raise DataError(
            f"{path.name} has columns {', '.join(columns) or 'none'}", hint="the first line must name `path,label`"
        )
    reader.fieldnames = columns
    missing, seen = [], Counter[str]()
    for row in reader:
        name, label, split = ((row.get(key) or "").strip() for key in ("path", "label", "split"))
        if not name or not label:
            raise DataError(f"{path.name}:{reader.line_num}: a path or a label is missing")
        if split and split.lower() not in SPLITS:
            raise DataError(f'{path.name}:{reader.line_num}: split "{split}" is not one of train, val, test')
        seen[name] += 1
        if not (path.parent / name).is_file():
            missing.append(f"line {reader.line_num}: {name}")
        yield Path(name).as_posix(), label, SPLITS[split.lower()] if split else None
    if missing:
        raise DataError(
            f"{path.name} names {_counted(missing, 'file')} that do not exist", hint="paths are relative to the CSV"
        )
    if twice := [name for name, count in seen.items() if count > 1]:
        raise DataError(f"{path.name} names {_counted(twice, 'file')} more than once", hint="keep one line of each")


def _check_classes(rows: list[Row], path: Path) -> None:
    splits = {split for _, _, split in rows}
    if None in splits and len(splits) > 1:
        raise DataError(f"{path.name} gives some samples a split and others none", hint="fill the column, or drop it")
    if "train" not in splits and None not in splits:
        raise DataError(f"{path} has no training samples", hint="it has only " + ", ".join(sorted(map(str, splits))))
    trained = Counter(label for _, label, split in rows if split in ("train", None))
    for split in ("val", "test"):
        strange = sorted({label for _, label, of in rows if of == split} - set(trained))
        if strange:
            raise DataError(
                f"{_counted(strange, 'class')} of {split} do not occur in train",
                hint="move some of their images to train, or remove them",
            )
    if len(trained) < 2:
        raise DataError(
            f"{path} has one class only: {next(iter(trained))}",
            hint="a classifier needs two; is the folder one level too deep?",
        )


def _counted(names: list[str], noun: str) -> str:
    """ "3 files (a, b, c)", the first ten of them."""
    plural = {"file": "files", "class": "classes"}[noun] if len(names) > 1 else noun
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {plural} ({', '.join(names[:SHOWN])}{more})"
