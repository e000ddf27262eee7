"""The reference of edgetune.toml: keys, types, defaults and limits read off the code, meanings off docs/recipe.md."""

import ast
import dataclasses
import inspect
import io
import re
import tokenize
import types
import typing
from pathlib import Path
from typing import Any

from edgetune import records
from edgetune.recipe import CHOICES, FOR_PICTURES, LIMITS, USUAL_FOR_TEXT
from edgetune.records import Recipe

TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
GUIDE = Path(__file__).parents[2] / "docs" / "recipe.md"
HEAD = """# Recipe reference

Keys, types, defaults and what is allowed are read off `edgetune/records.py` and `edgetune/recipe.py` when this site is
built, so that they are what the program takes. Meanings are those of [the recipe](../recipe.md), which tells more.

Everything but `model.name` and `data.path` has a default. Unknown keys, wrong types and values outside of what is
allowed are errors with file, line and the nearest valid key (exit code 2).
"""


def recipe_reference() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD]
    for item in dataclasses.fields(Recipe):
        kind = typing.get_type_hints(Recipe)[item.name]
        if dataclasses.is_dataclass(kind):
            parts.append(_section(item.name, typing.cast(type, kind)))
    return "\n".join([*parts, "## Outside of sections\n", *_table([_row("", "seed", Recipe)])])


def keys() -> list[tuple[str, str]]:
    """(section, key) of everything that a recipe may hold."""
    hints = typing.get_type_hints(Recipe)
    return [
        (section.name, item.name)
        for section in dataclasses.fields(Recipe)
        if dataclasses.is_dataclass(hints[section.name])
        for item in dataclasses.fields(hints[section.name])
    ]


def _section(name: str, kind: type) -> str:
    rows = [_row(name, item.name, kind) for item in dataclasses.fields(kind)]
    about = " ".join(inspect.cleandoc(kind.__doc__ or "").replace("``", "`").split())
    return "\n".join([f"## [{name}]\n", f"{about}\n", *_table(rows)])


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| key | type | default | allowed | meaning |", "|---|---|---|---|---|"]
    return [*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows), ""]


def _row(section: str, key: str, kind: type) -> tuple[str, ...]:
    item = next(item for item in dataclasses.fields(kind) if item.name == key)
    usual = USUAL_FOR_TEXT.get(section, {}).get(key)
    default = _default(item) + ("" if usual is None else f"; of texts {_toml(usual)}")
    allowed = ", ".join(f"`{choice}`" for choice in CHOICES.get((section, key), ()))
    if (section, key) in LIMITS:
        allowed = LIMITS[section, key][1]
    meaning = meanings().get(f"{section}.{key}" if section else key) or comments(kind).get(key, "")
    if (section, key) in FOR_PICTURES:
        meaning += "; of pictures only" if meaning else "of pictures only"
    return (f"`{key}`", _type(typing.get_type_hints(kind)[key]), default, allowed, meaning)


def _default(item: "dataclasses.Field[Any]") -> str:
    if item.default is not dataclasses.MISSING:
        return _toml(item.default)
    if item.default_factory is not dataclasses.MISSING:
        return _toml(item.default_factory())
    return "must be given"


def _toml(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(_toml(part).strip("`") for part in value) + "]`"
    if isinstance(value, dict):
        return "empty"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _type(hint: Any) -> str:
    if isinstance(hint, types.UnionType):  # X | None
        return _type(next(part for part in typing.get_args(hint) if part is not type(None)))
    if typing.get_origin(hint) is tuple:
        return f"list of {_type(typing.get_args(hint)[0])}s".replace("texts", "text")
    return TYPES.get(hint, "table")


def meanings() -> dict[str, str]:
    """{section.key: what the table of docs/recipe.md says of it}, its links as seen from this page's folder."""
    found = {}
    for line in GUIDE.read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) == 5 and re.match(r"\s*`", cells[1]):
            meaning = re.sub(r"\]\((?!https?:)", "](../", cells[3].strip()).replace("\\|", "|")
            found |= dict.fromkeys(re.findall(r"`(seed|\w+\.\w+)`", cells[1]), meaning)
    return found


def comments(kind: type) -> dict[str, str]:
    """{field: the comment on its line} of a dataclass of ``edgetune.records``."""
    source = inspect.getsource(records)
    by_line = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = next(
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    return {
        node.target.id: by_line.get(node.end_lineno or node.lineno, "")
        for node in body.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
