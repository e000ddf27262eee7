"""Find a text dataset's samples: a CSV or JSON Lines file with ``text,label[,split]``, or a folder of one a split.

Read from start to end: texts are small, and what is in them is all there is to know.
"""

import csv
import hashlib
import io
import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetune.data.scan import SPLIT_NAMES, SPLITS, check_classes, exists, not_utf8, refuse_twice
from edgetune.errors import DataError
from edgetune.hashing import digest_file, digest_json

UNPAIRED = re.compile("[\ud800-\udfff]")
ENDINGS = (".csv", ".jsonl", ".ndjson")
FIELDS = ("text", "label", "split")
COLUMNS = 'columns `text,label` or `text,label,split`; JSON Lines: {"text": "...", "label": "..."} a line'


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
    """One labelled text; ``where`` is its file and line, ``split`` None where the data does not say."""

    where: str
    text: str
    label: str
    split: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextListing:
    """What lies in a text dataset, in the order of its files. ``unlabelled`` is where a row has no label."""

    root: Path
    kind: str  # CSV | JSON Lines | split files
    labels: tuple[str, ...]
    rows: tuple[TextRow, ...]
    unlabelled: tuple[str, ...] = ()


def is_text_data(path: Path) -> bool:
    """Whether ``path`` is a dataset of texts, by its name and first line alone.

    Raises:
        DataError: a path that cannot be looked at.
    """
    if not exists(path):
        return False
    if path.is_dir():
        return any(path.glob("train.*")) and bool(_split_files(path)) and all(map(_is_text_file, _split_files(path)))
    return path.is_file() and _is_text_file(path)


def scan_texts(path: Path) -> TextListing:
    """List the samples in ``path``.

    Raises:
        DataError: missing, empty or inconsistent data; one class only; a class of val or test that train lacks.
    """
    if not exists(path):
        raise DataError(f"there is no dataset at {path}", hint="check `[data] path`; it is relative to the recipe")
    if path.is_dir():
        files = _split_files(path)
        if "train" not in files.values():
            raise DataError(f"{path} has no train.csv or train.jsonl", hint=f"expected {COLUMNS}")
        if len(set(files.values())) < len(files):
            raise DataError(f"{path} has the same split twice: {', '.join(f.name for f in files)}", hint="keep one")
        kind, found = "split files", [row for file, split in files.items() for row in _rows(file, split)]
    else:
        kind, found = ("CSV" if path.suffix.lower() == ".csv" else "JSON Lines"), list(_rows(path, None))
    if not found:
        raise DataError(f"{path.name} holds no samples", hint=f"expected {COLUMNS}")
    rows = [row for row in found if row.label]
    check_classes([(row.where, row.label, row.split) for row in rows], path)
    labels = tuple(sorted({row.label for row in rows}))
    unlabelled = tuple(row.where for row in found if not row.label)
    return TextListing(root=path, kind=kind, labels=labels, rows=tuple(rows), unlabelled=unlabelled)


def fingerprint_texts(path: Path) -> str:
    """Digest of the files' contents."""
    files = _split_files(path) if path.is_dir() else {path: None}
    try:
        return digest_json([(file.name, split, digest_file(file)) for file, split in files.items()])
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def text_files(path: Path) -> list[Path]:
    """The files of a dataset of texts."""
    return list(_split_files(path)) if path.is_dir() else [path]


def header(path: Path) -> dict[str, str]:
    """{text, label and maybe split: what the file's columns or keys for them are called, to the letter}."""
    if path.suffix.lower() == ".csv":
        names = next(csv.reader(io.StringIO(_content(path), newline="")), [])
    else:
        names = list(json.loads(next(line for line in _content(path).split("\n") if line.strip())))
    return {key: name for key in ("text", "label", "split") for name in names if name.strip().lower() == key}


def content_digest(text: str) -> str:
    """sha256 of a text without what does not change its meaning (``folded``)."""
    return hashlib.sha256(folded(text).encode("utf-8", "replace")).hexdigest()


def folded(text: str) -> str:
    """A text without what does not change its meaning: case, width of letters, punctuation, spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(letter if letter.isalnum() else " " for letter in plain).split()
    return " ".join(words) or plain.strip()


def _split_files(folder: Path) -> dict[Path, str]:
    """{file: split} of train.csv, val.jsonl and the like."""
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}", hint="check its permissions") from error
    return {file: SPLITS[file.stem.lower()] for file in found if file.stem.lower() in SPLITS}


def _is_text_file(path: Path) -> bool:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return True
    if path.suffix.lower() != ".csv":
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            columns = [name.strip().lower() for name in next(csv.reader(file, skipinitialspace=True), [])]
    except (OSError, csv.Error):
        return False
    return "text" in columns and "path" not in columns


def _rows(path: Path, split: str | None) -> Iterator[TextRow]:
    """The rows of one file, an empty label where one has none; ``split`` None: each row may say its own."""
    reader = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    for where, fields in reader(path):
        text, label, own = (fields.get(key) for key in ("text", "label", "split"))
        if not isinstance(text, str):
            raise DataError(
                f"{where}: its text is {'missing' if text is None else f'{text!r}, no text'}",
                hint=None if text is None else f'if it is meant, write it in quotes: "text": "{text}"',
            )
        label = "" if label is None else label
        if isinstance(label, bool) or not isinstance(label, (str, int)):
            raise DataError(f"{where}: its label is {label!r}, no name")
        if own and (not isinstance(own, str) or own.strip().lower() not in SPLITS):
            raise DataError(f'{where}: split "{own}" is not one of {SPLIT_NAMES}')
        named = SPLITS[str(own).strip().lower()] if own else None
        if split and named and named != split:
            raise DataError(f"{where}: its split is {named}, in a file of {split}", hint="drop the column or the file")
        yield TextRow(where=where, text=text, label=str(label).strip(), split=split or named)


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    csv.field_size_limit(sys.maxsize)  # a long text is not an error
    reader = csv.reader(io.StringIO(_content(path), newline=""), skipinitialspace=True, strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if "text" not in columns or "label" not in columns:
            raise DataError(f"{path.name} has columns {', '.join(columns) or 'none'}", hint=f"expected {COLUMNS}")
        refuse_twice(columns, FIELDS, path.name)
        start = reader.line_num + 1
        for fields in reader:
            where, start = f"{path.name}:{start}", reader.line_num + 1
            if not any(fields):
                continue
            if len(fields) > len(columns):
                raise DataError(
                    f"{where}: {len(fields)} fields under {len(columns)} columns",
                    hint='put a text that has a comma in it into double quotes: "no, thanks"',
                )
            yield where, dict(zip(columns, fields, strict=False))
    except csv.Error as error:
        raise DataError(
            f"{path.name}:{reader.line_num}: not readable as CSV: {error}",
            hint='a text with quotes in it is written in quotes, its own doubled: "he said ""no"""',
        ) from error


class _Object(dict[str, object]):
    """A JSON object that remembers its keys in small letters, those that are there twice, too."""

    def __init__(self, pairs: Sequence[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.keys_there = [key.lower() for key, _ in pairs]


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, line in enumerate(_content(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            content = json.loads(line, object_pairs_hook=_Object)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON: {error}", hint=f"expected {COLUMNS}") from error
        if not isinstance(content, _Object):
            raise DataError(f"{where}: not a JSON object", hint=f"expected {COLUMNS}")
        refuse_twice(content.keys_there, FIELDS, where, "keys")
        if any(UNPAIRED.search(str(value)) for key, value in content.items() if str(key).lower() != "text"):
            raise DataError(f"{where}: a label with half a character (an unpaired surrogate)", hint="mend that line")
        yield where, {str(key).lower(): value for key, value in content.items()}


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
