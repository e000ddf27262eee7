"""``[tune.space]`` -> the values a search may give the keys of ``[finetune]``."""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgetune.records import Dimension, FinetuneSpec, Recipe
from edgetune.toml import TYPE_NAMES, TomlFile, into_record, nearest

Check = Callable[[Any, tuple[str, ...]], None]
AUGMENTATIONS = ("light", "standard", "strong")
DECAYS = (1e-4, 0.3)
TYPES: dict[str, type] = typing.get_type_hints(FinetuneSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    low: float
    high: float
    log: bool = False


def read_space(table: Mapping[str, Any], file: TomlFile, check: Check) -> tuple[Dimension, ...]:
    """The dimensions of ``[tune.space]``; ``check`` raises for a value that ``[finetune]`` would refuse.

    Raises:
        ``file.error``: a name that is no key of ``[finetune]``, a value it cannot have, an empty list or range.
    """
    if not table:
        raise file.fail("[tune.space] is empty", ("tune", "space"), "leave it out, and the usual values are searched")
    found = []
    for name, value in table.items():
        where = ("tune", "space", name)
        if name not in TYPES:
            raise file.fail(
                f"`{name}` in [tune.space] is no key of [finetune]", where, nearest(name, list(TYPES), "key")
            )
        made = _choices(name, value, file) if isinstance(value, list) else _range(name, value, file)
        for bound in made.choices or (made.low, made.high):
            check(TYPES[name](bound), where)
        found.append(made)
    return tuple(found)


def usual_space(recipe: Recipe) -> tuple[Dimension, ...]:
    """What is searched where the recipe does not say: around the recipe's own values."""
    own = recipe.finetune
    epochs = sorted({max(1, own.epochs // 2), own.epochs, 2 * own.epochs})
    space = [
        Dimension(name="learning_rate", low=own.learning_rate / 10, high=min(10.0, own.learning_rate * 10), log=True),
        Dimension(name="weight_decay", low=DECAYS[0], high=DECAYS[1], log=True),
        Dimension(name="epochs", choices=tuple(epochs)),
    ]
    if recipe.model.pretrained or recipe.model.weights:
        space.append(Dimension(name="strategy", choices=("full", "gradual")))
    if not recipe.reads_text:
        space.append(Dimension(name="augmentation", choices=AUGMENTATIONS))
    return tuple(space)


def space_of(recipe: Recipe) -> tuple[Dimension, ...]:
    """The space of a recipe that was read: its own, else the usual one."""
    if recipe.tune.space is None:
        return usual_space(recipe)
    return tuple(
        Dimension(name=name, choices=tuple(_typed(name, item) for item in value))
        if isinstance(value, list)
        else Dimension(name=name, whole=TYPES[name] is int, **value)
        for name, value in recipe.tune.space.items()
    )


def _choices(name: str, values: list[Any], file: TomlFile) -> Dimension:
    where = ("tune", "space", name)
    typed = tuple(_typed(name, value) for value in values)
    for value in typed:
        if type(value) is not TYPES[name]:
            raise file.fail(f"`tune.space.{name}` holds {value!r}; it must be {TYPE_NAMES[TYPES[name]]}", where)
    if not values or len(set(typed)) < len(typed):
        raise file.fail(f"`tune.space.{name}` is a list of values, each once", where, "write those to be tried")
    return Dimension(name=name, choices=typed)


def _range(name: str, value: Any, file: TomlFile) -> Dimension:
    where = ("tune", "space", name)
    kind = TYPES[name]
    if kind is str or not isinstance(value, dict):
        hint = "" if kind is str else ", or a table such as { low = 1e-4, high = 1e-2, log = true }"
        raise file.fail(f"`tune.space.{name}` must be a list of values{hint}", where)
    given = into_record(_Range, value, file, where)
    if kind is int and not (given.low.is_integer() and given.high.is_integer()):
        raise file.fail(f"`tune.space.{name}` goes from {given.low} to {given.high}; it must be whole numbers", where)
    if given.low >= given.high:
        raise file.fail(f"`tune.space.{name}` goes from {given.low} to {given.high}; low must be below high", where)
    if given.log and given.low <= 0:
        raise file.fail(f"`tune.space.{name}` begins at {given.low}; with log = true it must begin above 0", where)
    return Dimension(name=name, low=given.low, high=given.high, log=given.log, whole=kind is int)


def _typed(name: str, value: Any) -> Any:
    return float(value) if TYPES[name] is float and type(value) is int else value
