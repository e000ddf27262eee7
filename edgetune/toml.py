"""Read TOML into frozen records; every error names the file, the line and the nearest valid key.

Used for recipes and for target files. The record's own field types and defaults are the schema:
there is no second description of what a key may hold.
"""

import difflib
import re
import tomllib
import types
import typing
import unicodedata
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from edgetune.errors import InputError

R = TypeVar("R")
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,6})?\s*", re.ASCII | re.IGNORECASE)  # as `Decimal` takes it
LARGEST = 1 << 63  # what counts and seeds are kept in
SEVERAL = {str: "texts in quotes", int: "whole numbers", float: "numbers"}
TYPE_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlFile:
    """A parsed TOML file that can say on which line a key stands."""

    path: Path
    text: str
    data: dict[str, Any]
    error: type[InputError]

    def fail(self, message: str, keys: tuple[str, ...] = (), hint: str | None = None) -> InputError:
        """The error for something wrong at ``keys`` (such as ``("data", "image_size")``)."""
        line = line_of(self.text, keys)
        where = f"{self.path.name}:{line}" if line else self.path.name
        return self.error(f"{where}: {message}", hint=hint)


def read_toml(path: Path, error: type[InputError]) -> TomlFile:
    """Parse a file.

    Raises:
        ``error``: when it cannot be read, is not UTF-8 or is not TOML (with the line).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{path.name}: not UTF-8 text", hint="save the file as UTF-8") from problem
    try:
        return TomlFile(path=path, text=text, data=tomllib.loads(text), error=error)
    except RecursionError as problem:
        raise error(f"{path.name}: its tables or lists are nested too deeply") from problem
    except ValueError as problem:  # tomllib's own, or a number of thousands of digits
        raise error(f"{path.name}: not valid TOML: {problem}", hint="see https://toml.io for the syntax") from problem


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The 1-based line on which ``keys`` is set, its table's header if the key is not found, or None."""
    if not keys:
        return None
    table: tuple[str, ...] = ()
    header = None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            table = _dotted(match.group(1))
            if table == keys:
                return number
            if table == keys[:-1]:
                header = number
        elif match := re.match(
            r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=", line
        ):
            path = table + _dotted(match.group(1))
            if path == keys or path == keys[: len(path)]:  # the second: an inline table that holds the key
                return number
    return header


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def into_record(
    kind: type[R], table: Any, file: TomlFile, keys: tuple[str, ...] = (), given: Mapping[str, Any] | None = None
) -> R:
    """Make a record of ``kind`` from a TOML table.

    ``keys`` is where the table stands in the file; ``given`` holds fields that do not come from it.

    Raises:
        ``file.error``: for unknown or missing keys and wrong types.
    """
    where = ".".join(keys)
    if not isinstance(table, dict):
        raise file.fail(f"[{where}] must be a table, not {_kind(table)}", keys)
    given = dict(given or {})
    hints = typing.get_type_hints(kind)
    allowed = [item for item in fields(kind) if item.name not in given]  # type: ignore[arg-type]
    names = [item.name for item in allowed]
    for key in table:
        if key not in names:
            raise file.fail(
                f"unknown key `{key}`" + (f" in [{where}]" if where else ""), (*keys, key), nearest(key, names, "key")
            )
    values = dict(given)
    for item in allowed:
        if item.name in table:
            values[item.name] = _convert(table[item.name], hints[item.name], file, (*keys, item.name))
        elif item.default is MISSING and item.default_factory is MISSING:
            raise file.fail(f"`{item.name}` is missing" + (f" in [{where}]" if where else ""), keys or (item.name,))
    return kind(**values)


def similar(one: str, other: str) -> bool:
    """Whether two names may be one, mistyped: equal but for case, spaces and dashes, or nearly so and not short.

    Numbers are one if they are equal, such as 0 and 0.0.
    """
    if NUMBER.fullmatch(one) and NUMBER.fullmatch(other):
        return Decimal(one) == Decimal(other)
    first, second = (re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name)).casefold() for name in (one, other))
    if first == second:
        return True
    if min(len(first), len(second)) < 6 or re.sub(r"\d+", "", first) == re.sub(r"\d+", "", second):
        return False  # classes called shape1 and shape2 are meant
    return difflib.SequenceMatcher(None, first, second).ratio() > 0.9


def nearest(word: str, known: list[str], noun: str) -> str:
    """A hint with the closest known word, or all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known {noun}s: {', '.join(known)}" if known else f"no {noun}s are known here"


def _convert(value: Any, hint: Any, file: TomlFile, keys: tuple[str, ...]) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):  # only X | None is used
        inner = next(part for part in typing.get_args(hint) if part is not type(None))
        return _convert(value, inner, file, keys)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        items = value if isinstance(value, list) else [value]  # `ratio = 0.3` reads as `[0.3]`
        nested = [part for part in items if isinstance(part, (dict, list))]
        if nested and item in SEVERAL:
            what = f"; it holds {_kind(nested[0])}" if isinstance(value, list) else f", not {_kind(value)}"
            raise file.fail(f"`{'.'.join(keys)}` must be a list of {SEVERAL[item]}{what}", keys)
        return tuple(_convert(part, item, file, keys) for part in items)
    if hasattr(hint, "__dataclass_fields__"):
        return into_record(hint, value, file, keys)
    if origin is not None:  # Mapping[str, Any]
        if not isinstance(value, dict):
            raise _wrong_type(value, "a table", file, keys)
        _check_plain(value, file, keys)
        return value
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise file.fail(f"`{'.'.join(keys)}` has {len(str(abs(value)))} digits; it must be below 2^63", keys)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _wrong_type(value, TYPE_NAMES[hint], file, keys)
    if isinstance(value, float) and value - value != 0:
        raise file.fail(f"`{'.'.join(keys)}` must be a finite number", keys)
    return value


def _check_plain(value: Any, file: TomlFile, keys: tuple[str, ...]) -> None:
    """Free tables go into keys and manifests, as JSON: no dates, no infinities, no endless numbers."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(item, file, (*keys, key))
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, file, keys)
    elif not isinstance(value, (str, bool, int, float)):
        raise _wrong_type(value, "text, a number, true or false, or a list of those", file, keys)
    elif isinstance(value, float) and value - value != 0:
        raise file.fail(f"`{'.'.join(keys)}` must be a finite number", keys)
    elif isinstance(value, int) and abs(value) >= LARGEST:
        raise file.fail(f"`{'.'.join(keys)}` must be below 2^63", keys)


def _wrong_type(value: Any, wanted: str, file: TomlFile, keys: tuple[str, ...]) -> InputError:
    return file.fail(f"`{'.'.join(keys)}` must be {wanted}, not {_kind(value)}", keys)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"{TYPE_NAMES.get(type(value), type(value).__name__)} ({value!r})"
