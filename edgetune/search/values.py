"""Values of a trial -> the recipe that they make, and the engine that is meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import Trial

from edgetune.plan.candidates import FLOAT, UNPRUNED, prunings
from edgetune.records import Dimension, Pruning, Recipe
from edgetune.search_space import REPAIR, taken_apart, together
from edgetune.tune.study import suggest

SPEEDUP, RATIO, MODE = "prune.target_speedup", "prune.ratio", "quantize.mode"
LEAST = {SPEEDUP: 1.1, RATIO: 0.05}  # of a range; what is asked below is not worth its training
NOTHING = {SPEEDUP: 1.0, RATIO: 0.0}
QAT_KEYS = ("quantize.epochs", "quantize.learning_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One engine: the ``recipe`` that makes it, and which of that recipe's engines it is."""

    recipe: Recipe
    pruning: Pruning
    precision: str  # float | int8 | qat


def choose(trial: Trial, space: Sequence[Dimension], recipe: Recipe, *, int8: bool) -> dict[str, Any]:
    """The values of ``trial``. What an engine does not depend on is not drawn: how to recover from no pruning, how to
    calibrate what stays in float.
    """
    deciding = [d for d in space if d.name in (*NOTHING, MODE)]
    chosen = {d.name: _snapped(d, suggest(trial, d)) for d in deciding}
    engine = wanted(recipe, chosen, int8=int8)
    for dimension in space:
        section = dimension.name.partition(".")[0]
        if dimension.name in chosen:
            continue
        idle = {
            "prune": not engine.pruning.asked and not _distilled(dimension, engine),
            "quantize": engine.precision == FLOAT
            or (engine.precision != "qat" and dimension.name in QAT_KEYS)
            or (engine.precision == "qat" and recipe.reads_text and dimension.name == REPAIR),  # is not smoothed
        }
        if not idle.get(section, False):
            chosen[dimension.name] = suggest(trial, dimension)
    return chosen


def wanted(recipe: Recipe, values: Mapping[str, Any], *, int8: bool) -> Wanted:
    """What a trial with ``values`` builds.

    Where they do not say how much is pruned it is what the recipe says, if that is one thing, else nothing.
    """
    made = recipe
    for name, value in values.items():
        section, _, key = name.partition(".")
        value = taken_apart(value) if name == REPAIR else value
        if name not in NOTHING:
            made = replace(made, **{section: replace(getattr(made, section), **{key: value})})
    given = next((name for name in NOTHING if name in values), None)
    if given is None:
        asked = prunings(recipe.prune, True, recipe.reads_text)
        pruning = asked[0] if len(asked) == 1 else UNPRUNED
    elif values[given] == NOTHING[given]:
        pruning = UNPRUNED
    else:
        pruning = Pruning(speedup=values[given]) if given == SPEEDUP else Pruning(ratio=values[given])
    # What is not asked is emptied only where that is needed, so that the recipe that is written stays short.
    own = recipe.prune
    speedups = () if own.target_speedup or not pruning.asked else own.target_speedup
    ratios = () if own.ratio else own.ratio
    latencies = () if own.target_latency_ms else own.target_latency_ms
    prune = replace(
        made.prune,
        target_speedup=speedups if pruning.speedup is None else (pruning.speedup,),
        ratio=ratios if pruning.ratio is None else (pruning.ratio,),
        target_latency_ms=latencies if pruning.latency_ms is None else (pruning.latency_ms,),
    )
    mode = made.quantize.mode
    precision = FLOAT if mode == "none" or not int8 else "qat" if mode == "qat" else "int8"
    return Wanted(recipe=replace(made, prune=prune), pruning=pruning, precision=precision)


def changes(recipe: Recipe, made: Recipe) -> dict[tuple[str, str], Any]:
    """What ``made`` has otherwise than ``recipe``, as TOML has it: {(section, key): value}."""
    found = {}
    for section in ("model", "data", "prune", "quantize"):
        before, after = getattr(recipe, section), getattr(made, section)
        for key in after.__dataclass_fields__:
            value = getattr(after, key)
            if getattr(before, key) != value:
                found[section, key] = list(value) if isinstance(value, tuple) else value
    return found


def first_values(recipe: Recipe, space: Sequence[Dimension], *, int8: bool) -> list[dict[str, Any]]:
    """Values of the engines that the recipe itself would build, where the ``space`` holds them; one at least."""
    modes = ["none"] if not int8 or recipe.quantize.mode == "none" else ["ptq"]
    modes += ["qat"] if recipe.quantize.mode == "qat" and int8 else []
    found = []
    for pruning in dict.fromkeys((UNPRUNED, *prunings(recipe.prune, True, recipe.reads_text))):
        for mode in modes:
            amounts = {SPEEDUP: pruning.speedup, RATIO: pruning.ratio}
            values: dict[str, Any] = {MODE: mode}
            values[REPAIR] = together(recipe.quantize.repair)
            values |= {name: NOTHING[name] if not pruning.asked else amount for name, amount in amounts.items()}
            for dimension in space:
                section, _, key = dimension.name.partition(".")
                values.setdefault(dimension.name, getattr(getattr(recipe, section), key))
            mine = {dimension.name: values[dimension.name] for dimension in space}
            if all(mine[d.name] is not None and d.holds(mine[d.name]) for d in space) and mine not in found:
                found.append(mine)
    return found or [{}]


def _snapped(dimension: Dimension, value: Any) -> Any:
    low = LEAST.get(dimension.name)
    return NOTHING[dimension.name] if low is not None and not dimension.choices and value < low else value


def _distilled(dimension: Dimension, engine: Wanted) -> bool:
    """Quantization-aware training learns from the float network by the same keys as pruning does."""
    return engine.precision == "qat" and dimension.name.startswith("prune.distillation")
