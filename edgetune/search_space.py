"""``[tune.space]`` and ``[search.space]`` -> the values that a search may give the keys of a recipe."""

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgetune.records import Dimension, FinetuneSpec, PruneSpec, QuantizeSpec, Recipe
from edgetune.specs import MOST_EPOCHS
from edgetune.toml import TYPE_NAMES, TomlFile, into_record, nearest

Check = Callable[[Any, tuple[str, ...]], None]
AUGMENTATIONS = ("light", "standard", "strong")
DECAYS = (1e-4, 0.3)


def _scalars(record: type) -> dict[str, type]:
    return {name: kind for name, kind in typing.get_type_hints(record).items() if kind in (str, int, float)}


TYPES = _scalars(FinetuneSpec)
SEARCHED: dict[str, dict[str, type]] = {
    "prune": {"target_speedup": float, "ratio": float, **_scalars(PruneSpec)},
    "quantize": {"repair": tuple, **_scalars(QuantizeSpec)},
    "data": {"image_size": int},
    "model": {"name": str},
}
SPEEDUPS = (1.0, 4.0)
REPAIR = "quantize.repair"
TOGETHER, NOTHING = " + ", "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    low: float
    high: float
    log: bool = False


def together(values: Sequence[str]) -> str:
    """Several repairs as one value of a trial: storages and reports know texts and numbers."""
    return TOGETHER.join(values) or NOTHING


def taken_apart(value: str) -> tuple[str, ...]:
    """The repairs that ``together`` has made one."""
    return () if value == NOTHING else tuple(value.split(TOGETHER))


def read_space(table: Mapping[str, Any], file: TomlFile, check: Check) -> tuple[Dimension, ...]:
    """The dimensions of ``[tune.space]``; ``check`` raises for a value that ``[finetune]`` would refuse.

    Raises:
        ``file.error``: a name that is no key of ``[finetune]``, a value it cannot have, an empty list or range.
    """
    if not table:
        raise file.fail("[tune.space] is empty", ("tune", "space"), "leave it out, and the usual values are searched")
    return tuple(
        _read(name, value, ("tune", "space", name), TYPES, "[finetune]", file, check) for name, value in table.items()
    )


def _read(
    name: str, value: Any, where: tuple[str, ...], types: Mapping[str, type], of: str, file: TomlFile, check: Check
) -> Dimension:
    """One line of a space."""
    if name not in types:
        inside = ".".join(where[:2])
        told = f"`{'.'.join(where[2:])}` in [{inside}] is no key of {of} that can be searched"
        raise file.fail(told, where, nearest(name, list(types), "key"))
    kind = types[name]
    made = (_choices if isinstance(value, list) else _range)(name, value, kind, where, file)
    for bound in made.choices or (made.low, made.high):
        check(taken_apart(bound) if kind is tuple else kind(bound), where)
    return made


def usual_space(recipe: Recipe) -> tuple[Dimension, ...]:
    """What is searched where the recipe does not say: around the recipe's own values."""
    own = recipe.finetune
    epochs = sorted({max(1, own.epochs // 2), own.epochs, min(MOST_EPOCHS, 2 * own.epochs)})
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
    return tuple(_made(name, value, TYPES[name]) for name, value in recipe.tune.space.items())


def read_search_space(table: Mapping[str, Any], file: TomlFile, check: Check) -> tuple[Dimension, ...]:
    """The dimensions of ``[search.space]``, whose keys are written as in the recipe: ``prune.target_speedup``.

    Raises:
        ``file.error``: as of ``read_space``; both ways to say how much is pruned.
    """
    if not any(table.values()):
        raise file.fail(
            "[search.space] is empty", ("search", "space"), "leave it out, and the usual values are searched"
        )
    found = []
    for section, keys in table.items():
        where: tuple[str, ...] = ("search", "space", section)
        if section not in SEARCHED:
            where += tuple(keys)[:1] if isinstance(keys, dict) else ()  # where it stands on a line
            hint = nearest(section, list(SEARCHED), "section")
            raise file.fail(f"`{section}` in [search.space] is no section that is searched", where, hint)
        if not isinstance(keys, dict):
            raise file.fail(
                f"`search.space.{section}` must hold keys of [{section}]", where, "such as prune.ratio = [0.0, 0.3]"
            )
        found += [
            _read(name, value, (*where, name), SEARCHED[section], f"[{section}]", file, check)
            for name, value in keys.items()
        ]
    if {"ratio", "target_speedup"} <= {dimension.name for dimension in found}:
        raise file.fail(
            "[search.space] has both `prune.ratio` and `prune.target_speedup`", ("search", "space", "prune"), "keep one"
        )
    return tuple(found)


def usual_search_space(recipe: Recipe, *, int8: bool) -> tuple[Dimension, ...]:
    """What is searched where the recipe does not say: how much is pruned, how the rest recovers, how it is quantized.

    The recipe's own values are always among them.

    Args:
        int8: whether the target has 8-bit engines.
    """
    prune, quantize = recipe.prune, recipe.quantize
    int8 = int8 and quantize.mode != "none"
    highest = max((SPEEDUPS[1], *(prune.target_speedup or ())))
    space = [
        Dimension(name="prune.target_speedup", low=SPEEDUPS[0], high=highest),
        _with("prune.distillation_weight", prune.distillation_weight, (0.0, 0.5, 0.9)),
    ]
    if not recipe.reads_text:
        space.append(_with("prune.criterion", prune.criterion, ("fisher", "taylor", "magnitude")))
    if int8:
        modes = ("none", "ptq", "qat") if quantize.mode == "qat" else ("none", "ptq")
        space.append(Dimension(name="quantize.mode", choices=modes))
    if int8 and not recipe.reads_text:
        space.append(_with("quantize.calibration", quantize.calibration, ("mse", "minmax", "percentile")))
        space.append(Dimension(name="quantize.float_layers", choices=("none", "auto")))
    return tuple(space)


def _with(name: str, own: Any, choices: tuple[Any, ...]) -> Dimension:
    return Dimension(name=name, choices=tuple(dict.fromkeys((own, *choices))))


def search_space_of(recipe: Recipe, *, int8: bool) -> tuple[Dimension, ...]:
    """The space of ``edgetune search`` for a recipe that was read: its own, else the usual one."""
    if recipe.search.space is None:
        return usual_search_space(recipe, int8=int8)
    return tuple(
        _made(f"{section}.{name}", value, SEARCHED[section][name])
        for section, keys in recipe.search.space.items()
        for name, value in keys.items()
    )


def _made(name: str, value: Any, kind: type) -> Dimension:
    """A dimension from what ``_read`` has found to be right."""
    if isinstance(value, list):
        return Dimension(name=name, choices=tuple(_typed(item, kind) for item in value))
    return Dimension(name=name, whole=kind is int, **value)


def _choices(name: str, values: list[Any], kind: type, where: tuple[str, ...], file: TomlFile) -> Dimension:
    told, typed = ".".join(where), tuple(_typed(value, kind) for value in values)
    for value in typed:
        if type(value) is not (str if kind is tuple else kind) or (kind is tuple and value in values):
            named = 'lists of text, such as [[], ["bias-correction"]]' if kind is tuple else TYPE_NAMES[kind]
            raise file.fail(f"`{told}` holds {value!r}; it must be {named}", where)
    if not values or len(set(typed)) < len(typed):
        raise file.fail(f"`{told}` is a list of values, each once", where, "write those to be tried")
    return Dimension(name=name, choices=typed)


def _range(name: str, value: Any, kind: type, where: tuple[str, ...], file: TomlFile) -> Dimension:
    told = ".".join(where)
    if kind in (str, tuple) or not isinstance(value, dict):
        hint = "" if kind in (str, tuple) else ", or a table such as { low = 1e-4, high = 1e-2, log = true }"
        raise file.fail(f"`{told}` must be a list of values{hint}", where)
    given = into_record(_Range, value, file, where)
    if kind is int and not (given.low.is_integer() and given.high.is_integer()):
        raise file.fail(f"`{told}` goes from {given.low} to {given.high}; it must be whole numbers", where)
    if given.low >= given.high:
        raise file.fail(f"`{told}` goes from {given.low} to {given.high}; low must be below high", where)
    if given.log and given.low <= 0:
        raise file.fail(f"`{told}` begins at {given.low}; with log = true it must begin above 0", where)
    return Dimension(name=name, low=given.low, high=given.high, log=given.log, whole=kind is int)


def _typed(value: Any, kind: type) -> Any:
    if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return together(value)
    return float(value) if kind is float and type(value) is int else value
