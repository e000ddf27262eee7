"""The tables of docs/recipe.md: keys, types, defaults, limits and meanings, all read off the code.

``python tools/site/recipe_reference.py`` writes them between the page's marks; a test holds the page against them.
"""

import ast
import dataclasses
import inspect
import sys
import types
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgetune.recipe import CHOICES, FOR_PICTURES, LIMITS, USUAL_FOR_TEXT
from edgetune.records import Recipe

TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
GUIDE = Path(__file__).parents[2] / "docs" / "recipe.md"
BEGIN = "<!-- keys: begin, written by tools/site/recipe_reference.py from edgetune/specs.py -->\n"
END = "<!-- keys: end -->\n"
OWN_NAMES = {("targets", "options"): "[targets.NAME]"}  # fields that are no key


def recipe_reference() -> str:
    """All sections with their tables, as Markdown with links as seen from docs/."""
    outside = [item.name for item in dataclasses.fields(Recipe) if item.name in explanations(Recipe)]
    parts = ["## Outside of sections\n", *_table([_row("", name, Recipe) for name in outside])]
    for item in dataclasses.fields(Recipe):
        kind = typing.get_type_hints(Recipe)[item.name]
        if dataclasses.is_dataclass(kind):
            parts.append(_section(item.name, typing.cast(type, kind)))
    return "\n".join(parts)


def rewritten(page: str) -> str:
    """A page with the tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{recipe_reference()}\n{END}{after}"


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
    meaning = explanations(kind).get(key, "")
    if (section, key) in FOR_PICTURES:
        meaning += "; of pictures only" if meaning else "of pictures only"
    name = OWN_NAMES.get((section, key), key)
    return (f"`{name}`", _type(typing.get_type_hints(kind)[key]), default, allowed, meaning)


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


def explanations(kind: type) -> dict[str, str]:
    """{field: the string below it} of a dataclass, on one line."""
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__).body
    return {
        item.target.id: " ".join(below.value.value.split())
        for item, below in pairwise(body)
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


if __name__ == "__main__":
    GUIDE.write_text(rewritten(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
