"""The recipe with the values that won: the user's own text, comments and all, with some values changed."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from edgetune.errors import InputError, RecipeError, TuneError
from edgetune.hashing import digest_json
from edgetune.recipe import parse_recipe
from edgetune.records import Recipe
from edgetune.toml import TomlFile
from edgetune.whole_file import write_over


def name_for(recipe: Path, how: str = "tuned") -> Path:
    """``edgetune.tuned.toml`` beside ``edgetune.toml``."""
    return recipe.with_name(f"{recipe.stem}.{how}.toml")


def tuned_text(original: str, changed: Mapping[tuple[str, str], Any], note: str, wanted: Recipe, path: Path) -> str:
    """The text of a recipe with the keys (section, name) ``changed``, and ``note`` as its first lines.

    Raises:
        TuneError: the result does not say what is ``wanted`` (a spelling of TOML this cannot change).
    """
    document = tomlkit.parse(original.removeprefix("\ufeff"))
    for (section, name), value in changed.items():
        if section not in document:
            document.append(section, tomlkit.table())
        table: Any = document[section]
        table[name] = value
    text = "".join(f"# {line}\n" for line in note.splitlines()) + tomlkit.dumps(document)
    file = TomlFile(path=path, text=text, data=tomllib.loads(text), error=RecipeError)
    if parse_recipe(file) != wanted:
        raise TuneError(
            f"{path.name} could not be made from the recipe",
            hint="write the values that won into it by hand; the search's JSON file has them",
        )
    return text


def digest(text: str) -> str:
    """What a search remembers of a file it wrote."""
    return digest_json(text)


def refuse_to_overwrite(path: Path, known: Collection[str]) -> None:
    """Raise for a file at ``path`` that this search did not write as it is there now.

    Args:
        known: digests of what it wrote there.

    Raises:
        InputError: it is in the way.
    """
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        there = None
    if there is None or digest(there) not in known:
        raise InputError(
            f"{path.name} exists, was not written by this search, and is not overwritten",
            hint="move it away, or give --force",
        )


def write(path: Path, text: str) -> None:
    """Put ``text`` at ``path``, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_over(path, text.encode("utf-8"))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", hint="make its folder writable") from error
