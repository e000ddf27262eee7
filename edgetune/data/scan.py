"""Find a dataset's samples and labels without reading the files.

Understood: split folders of class folders (``train/``, ``val/``, ``test/``; SPLITS has the names), one folder
of class folders, and a CSV with columns ``path,label`` and optionally ``split``.
"""

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetune.errors import DataError
from edgetune.hashing import digest_json
from edgetune.toml import similar

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
SPLIT_NAMES = "train, val (or valid, validation, dev), test"
LITTER = frozenset({"thumbs.db", "desktop.ini"})  # what Windows leaves in folders of pictures
SHOWN = 10
LONGEST_FIELD = 131_072  # letters; a path or a label that is longer is a quote that was not closed
ENDINGS = f"images end in {', '.join(sorted(EXTENSIONS))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One labelled file; ``split`` is None where the data does not say."""

    path: str  # relative to the root, with forward slashes
    label: int
    split: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a dataset. ``labels`` are sorted, ``samples`` are sorted by path.

    A CSV may name a file more than once; what that means is judged with other copies (``data/findings.py``).
    ``unlabelled`` are the paths to which it gives no label.
    """

    root: Path
    kind: str  # split folders | class folders | CSV
    labels: tuple[str, ...]
    samples: tuple[Sample, ...]
    unlabelled: tuple[str, ...] = ()


def scan(path: Path) -> Listing:
    """List the samples under ``path`` (a folder or a CSV).

    Raises:
        DataError: missing, empty or inconsistent data; one class only; a class of val or test that train lacks.
    """
    if not exists(path):
        raise DataError(f"there is no dataset at {path}", hint="check `[data] path`; it is relative to the recipe")
    kind, rows = _csv_rows(path) if path.is_file() else _folder_rows(path)
    _check_names(rows, path)
    found = [row for row in rows if row[1]]
    check_classes(found, path, of_folders=kind != "CSV")
    labels = tuple(sorted({label for _, label, _ in found}))
    index = {label: number for number, label in enumerate(labels)}
    samples = tuple(
        Sample(path=name, label=index[label], split=split) for name, label, split in sorted(found, key=_order)
    )
    unlabelled = tuple(sorted(name for name, label, _ in rows if not label))
    return Listing(root=data_root(path), kind=kind, labels=labels, samples=samples, unlabelled=unlabelled)


def exists(path: Path) -> bool:
    """Whether there is something at ``path``.

    Raises:
        DataError: the system does not say: a name in it is too long, or a folder on the way is closed to us.
    """
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"cannot look at {path}: {error.strerror}", hint="check the path") from error


def data_root(path: Path) -> Path:
    """The folder sample paths are relative to: the dataset's, or that of its CSV."""
    return path.parent if path.is_file() else path


def fingerprint(listing: Listing) -> str:
    """Digest of names, labels, sizes and times of change; reads no file."""
    root = str(listing.root)
    rows = []
    for sample in listing.samples:
        try:
            facts = os.stat(os.path.join(root, sample.path))  # noqa: PTH116, PTH118 - twice as fast as pathlib
            rows.append((sample.path, sample.label, sample.split, facts.st_size, facts.st_mtime_ns))
        except OSError:
            rows.append((sample.path, sample.label, sample.split, -1, 0))
    return digest_json([listing.labels, rows, *([listing.unlabelled] if listing.unlabelled else [])])


Row = tuple[str, str, str | None]
"""(relative path, label, split); the label is empty where a CSV has none"""


def _order(row: Row) -> tuple[str, str, str]:
    return row[0], row[1], row[2] or ""


# --- folders --------------------------------------------------------------------------------


def _folder_rows(path: Path) -> tuple[str, list[Row]]:
    folders, images_beside = _look_into(path)
    splits = _split_folders(path, folders)
    places = (
        [(f"{folder}/{name}", name, split) for folder, split in splits.items() for name in _look_into(path / folder)[0]]
        if splits
        else [(name, name, None) for name in folders]
    )
    rows: list[Row] = []
    without: dict[str, set[str]] = {}
    for folder, label, split in places:
        images, other_endings = _class_images(path, folder)
        rows += [(image, label, split) for image in images]
        if other_endings and not images:
            without[folder] = other_endings
    if without:  # a class must not vanish because its pictures are, say, .heic
        shown = [f"{folder}: {', '.join(sorted(endings)[:3])}" for folder, endings in without.items()]
        raise DataError(
            f"{path} has {_counted(shown, 'folder')} without images",
            hint=f"{ENDINGS}; convert the files, or move the folder elsewhere",
        )
    if not rows:
        beside = f" ({images_beside} lie beside them)" if folders else f", but {images_beside} in none"
        raise DataError(
            f"{path} holds no images in class folders" + (beside if images_beside else ""),
            hint="expected folders of classes (cat/1.jpg, dog/2.jpg), under train/, val/, test/ or directly; "
            + ENDINGS,
        )
    return ("split folders" if splits else "class folders"), rows


def _split_folders(path: Path, folders: Sequence[str]) -> dict[str, str]:
    """{folder: split}; empty if the folders are classes. A class may be called "train": cars, buses, trains."""
    named = {folder: SPLITS[folder.lower()] for folder in folders if folder.lower() in SPLITS}
    inside = {folder: _look_into(path / folder) for folder in named}
    splits = {folder: split for folder, split in named.items() if inside[folder][0]}
    flat = [folder for folder in named if not inside[folder][0] and inside[folder][1]]
    if not splits and len(named) < len(folders):
        return {}
    if len(set(splits.values())) < len(splits):
        raise DataError(f"{path} has the same split twice: {', '.join(sorted(splits))}", hint="keep one of them")
    if flat:
        raise DataError(
            f"{path} has images but no class folders in {' and '.join(flat)}",
            hint="sort them into folders of classes, or move them elsewhere (val and test can be carved from train)",
        )
    if splits and "train" not in splits.values():
        raise DataError(
            f"{path} has {' and '.join(sorted(splits))} but no train folder with classes in it",
            hint="put the folders of classes to learn from into train/",
        )
    return splits


def _look_into(folder: Path) -> tuple[list[str], int]:
    """The subfolders' names, sorted, and how many images lie directly in ``folder``."""
    folders, images = [], 0
    for entry in _entries(str(folder)):
        if _is_folder(entry):
            folders.append(entry.name)
        elif _ending(entry.name) in EXTENSIONS:
            images += 1
    return sorted(folders), images


def _class_images(root: Path, folder: str) -> tuple[list[str], set[str]]:
    """The images of one class folder, also those in its subfolders, and the endings of its other files."""
    images, others, waiting = [], set(), [folder]
    while waiting:
        place = waiting.pop()
        for entry in _entries(f"{root}/{place}"):
            if entry.is_dir(follow_symlinks=False):  # a link to a folder could lead in a circle
                waiting.append(f"{place}/{entry.name}")
            elif _ending(entry.name) not in EXTENSIONS:
                others.add(_ending(entry.name) or entry.name)
            elif entry.is_symlink() or entry.is_file():  # where a link leads is judged when it is read
                images.append(f"{place}/{entry.name}")
    return images, others


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is not hidden in a folder."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in LITTER]
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}", hint="check its permissions") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - once for each of 100,000 names


# --- CSV ------------------------------------------------------------------------------------


def _csv_rows(path: Path) -> tuple[str, list[Row]]:
    rows: list[Row] = []
    missing, strange, turned = [], [], 0
    root = str(path.parent)
    for line, name, label, split in _csv_fields(path):
        full = os.path.join(root, name)  # noqa: PTH118
        if _ending(name) not in EXTENSIONS:
            strange.append(f"line {line}: {name}")
        elif not (os.path.isfile(full) or os.path.islink(full)):  # noqa: PTH113, PTH114
            missing.append(f"line {line}: {name}")
            turned += "\\" in name and os.path.isfile(full.replace("\\", "/"))  # noqa: PTH113
        rows.append((Path(name).as_posix(), label, split))
    if missing:
        raise DataError(
            f"{path.name} names {_counted(missing, 'file')} that do not exist",
            hint=_where_they_are(len(missing), turned, len(rows)),
        )
    if strange:
        raise DataError(f"{path.name} names {_counted(strange, 'file')} that are no images", hint=ENDINGS)
    if not rows:
        raise DataError(f"{path.name} has a header and no samples", hint="each line names one image and its class")
    return "CSV", rows


def _where_they_are(missing: int, turned: int, rows: int) -> str:
    """What to do about missing files, ``turned`` of which are there once their path has forward slashes."""
    if turned:
        return "write / for \\ in the paths" + (f": {turned} of them are then found" if turned < missing else "")
    if missing < rows:
        others = f"the other {rows - missing} are there"
        return f"paths are relative to the CSV, and {others}: restore what is missing, or remove the lines"
    return "paths are relative to the CSV"


def _csv_fields(path: Path) -> Iterator[tuple[int, str, str, str | None]]:
    """(line, path, label, split) of each row."""
    csv.field_size_limit(LONGEST_FIELD)  # of the whole process; texts are read without one
    reader = csv.reader(io.StringIO(_csv_text(path), newline=""), skipinitialspace=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if "path" not in columns or "label" not in columns:
            raise DataError(
                f"{path.name} has columns {', '.join(columns) or 'none'}",
                hint="the first line must be `path,label` or `path,label,split`, of texts `text,label` or "
                "`text,label,split`, " + _separated(columns),
            )
        refuse_twice(columns, ("path", "label", "split"), path.name)
        for fields in reader:
            if not any(fields):
                continue
            where = f"{path.name}:{reader.line_num}"
            if any(fields[len(columns) :]):
                raise DataError(
                    f"{where}: {len(fields)} fields under {len(columns)} columns",
                    hint='put a path or label that has a comma in it into double quotes: "a,b.jpg"',
                )
            row = dict(zip(columns, (field.strip() for field in fields), strict=False))
            name, label, split = (row.get(key, "") for key in ("path", "label", "split"))
            if not name:
                raise DataError(f"{where}: a path is missing")
            if split and split.lower() not in SPLITS:
                raise DataError(f'{where}: split "{split}" is not one of {SPLIT_NAMES}')
            yield reader.line_num, name, label, SPLITS[split.lower()] if split else None
    except csv.Error as error:
        raise DataError(f"{path.name}:{reader.line_num}: not readable as CSV: {error}") from error


def refuse_twice(names: Sequence[str], read: Sequence[str], where: str, noun: str = "columns") -> None:
    """Raise a DataError if a name of those that are ``read`` is there more than once: which one counts is a guess."""
    for name in read:
        if names.count(name) > 1:
            raise DataError(f"{where}: two {noun} are called {name}", hint="remove or rename all but one")


def _separated(columns: Sequence[str]) -> str:
    """What to say of the separator, if another one was used."""
    others = {";": "semicolons", "\t": "tabs", "|": "bars"}
    used = next((name for mark, name in others.items() if len(columns) == 1 and mark in columns[0]), None)
    return "separated by commas" + (f", not by {used}" if used else "")


def _csv_text(path: Path) -> str:
    if path.suffix.lower() != ".csv":
        raise DataError(
            f"{path} is neither a folder nor a .csv file", hint="unpack an archive first and give the folder"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    """What to say of a file in another encoding: UTF-16 is told by its first bytes, else Latin-1 is likely."""
    told, encoding = "if it is Latin-1: ", "latin1"
    if error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        told, encoding = "it is UTF-16: ", "utf16"
    return DataError(
        f"{path.name} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}",
        hint=f"save it as UTF-8; {told}iconv -f {encoding} -t utf8 {path.name} > new{path.suffix}",
    )


# --- what both must keep to -----------------------------------------------------------------


def _check_names(rows: Sequence[Row], path: Path) -> None:
    """Names must be text: they go into JSON. Old archives leave names in other encodings."""
    bad = [name for name, _, _ in rows if not name.isprintable() and _not_text(name)]
    if bad:
        shown = [os.fsencode(name).decode("utf-8", "replace") for name in bad]
        raise DataError(
            f"{path} has {_counted(shown, 'file')} whose names are not UTF-8",
            hint="rename them, for instance with `convmv -f cp1252 -t utf-8 -r --notest FOLDER`",
        )


def _not_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def check_classes(rows: Sequence[Row], path: Path, *, of_folders: bool = False) -> None:
    """Hold the labels and splits of a dataset, ``of_folders`` or of a list, against what a classifier needs.

    Raises:
        DataError: no sample with a label, some samples without a split, none to train on, one class only, a class of
            val or test that train lacks.
    """
    if not rows:
        raise DataError(f"{path} gives no sample a label", hint="fill the column `label`")
    splits = {split for _, _, split in rows}
    if None in splits and len(splits) > 1:
        raise DataError(f"{path.name} gives some samples a split and others none", hint="fill the column, or drop it")
    if "train" not in splits and None not in splits:
        raise DataError(f"{path} has no training samples", hint="it has only " + ", ".join(sorted(map(str, splits))))
    trained = {label for _, label, split in rows if split in ("train", None)}
    strange = []
    for split in ("val", "test"):
        if unknown := sorted({label for _, label, of in rows if of == split} - trained):
            strange.append(f"{_counted(unknown, 'class')} of {split}")
    if strange:
        raise DataError(
            f"{' and '.join(strange)} do not occur in train",
            hint="move some of their samples to train, or remove them; " + _spelling(rows, trained),
        )
    if len(trained) < 2:
        raise DataError(
            f"{path} has one class only: {next(iter(trained))}",
            hint="a classifier needs two; is the folder one level too deep?"
            if of_folders
            else "a classifier needs two: the column `label` must hold at least two different ones",
        )


def _spelling(rows: Sequence[Row], trained: set[str]) -> str:
    """What unknown labels may have been meant to be."""
    told = [f'"{label}" may be "{known}"' for label in sorted({label for _, label, _ in rows} - trained)
            for known in sorted(trained) if similar(label, known)]  # fmt: skip
    return first_few(told) or "check the spelling"


def first_few(names: Sequence[str]) -> str:
    """ "a, b, c", the first ten of them."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _counted(names: Sequence[str], noun: str) -> str:
    """ "3 files (a, b, c)", the first ten of them."""
    plural = {"file": "files", "class": "classes", "folder": "folders"}[noun] if len(names) > 1 else noun
    return f"{len(names)} {plural} ({first_few(names)})"
