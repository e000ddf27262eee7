"""``edgetune.toml`` -> a frozen Recipe, or an error with file, line and the nearest valid key."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetune.errors import RecipeError
from edgetune.records import Recipe
from edgetune.search_space import read_search_space, read_space
from edgetune.specs import MOST_EPOCHS, SMOOTHQUANT
from edgetune.toml import TomlFile, into_record, read_toml

DEFAULT_NAME = "edgetune.toml"

CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("data", "on_bad_file"): ("error", "skip"),
    ("finetune", "strategy"): ("auto", "full", "partial", "gradual", "lora", "feature-extraction"),
    ("finetune", "augmentation"): ("none", "light", "standard", "strong"),
    ("finetune", "precision"): ("auto", "fp32", "bf16", "fp16"),
    ("finetune", "compile"): ("auto", "never", "always"),
    ("finetune", "sharding"): ("auto", "never", "always"),
    ("finetune", "batch_norm"): ("train", "frozen"),
    ("finetune", "imbalance"): ("none", "weights", "sampling"),
    ("prune", "criterion"): (
        "fisher",
        "taylor",
        "obd",
        "magnitude",
        "magnitude-l1",
        "lamp",
        "fpgm",
        "bn-scale",
        "random",
    ),
    ("prune", "scope"): ("global", "local", "isomorphic"),
    ("prune", "group_reduction"): ("auto", "mean", "sum", "max", "prod", "first"),
    ("prune", "normalization"): ("auto", "none", "mean", "sum", "max", "gaussian"),
    ("prune", "sparsity"): ("none", "group-lasso", "growing"),
    ("search", "sampler"): ("tpe", "nsga2", "random"),
    ("tune", "pruner"): ("median", "hyperband", "none"),
    ("quantize", "mode"): ("none", "ptq", "qat", "auto"),
    ("quantize", "calibration"): ("mse", "minmax", "moving-average", "percentile", "entropy"),
    ("quantize", "repair"): ("equalisation", "adaround", "bias-correction", SMOOTHQUANT),
    ("quantize", "weights"): ("int8", "int4"),
    ("quantize", "scales"): ("learned", "frozen"),
    ("quantize", "float_layers"): ("none", "auto"),
    ("bundle", "input"): ("float32-nchw", "uint8-nhwc"),
}


def _are_shares(table: Mapping[str, Any]) -> bool:
    """Whether all values are numbers from 0 to below 1."""
    return all(type(value) in (int, float) and 0 <= value < 1 for value in table.values())


# What each number may be: (test, how to say it).
LIMITS: dict[tuple[str, str], tuple[Callable[[Any], bool], str]] = {
    ("data", "image_size"): (lambda v: 16 <= v <= 2048, "from 16 to 2048 pixels"),
    ("data", "max_length"): (lambda v: 8 <= v <= 8192, "from 8 to 8192 tokens"),
    ("data", "val_fraction"): (lambda v: 0 < v < 0.5, "above 0 and below 0.5"),
    ("data", "test_fraction"): (lambda v: 0 < v < 0.5, "above 0 and below 0.5"),
    ("data", "folds"): (lambda v: v == 0 or 3 <= v <= 20, "0 (no cross-validation), or from 3 to 20"),
    ("data", "cache_mb"): (lambda v: v >= 0, "0 or more"),
    ("data", "workers"): (lambda v: -1 <= v <= 64, "-1 (chosen for you) to 64"),
    ("finetune", "epochs"): (lambda v: 1 <= v <= MOST_EPOCHS, f"from 1 to {MOST_EPOCHS}"),
    ("finetune", "batch_size"): (lambda v: 2 <= v <= 65_536, "from 2 (batch norm needs two) to 65536"),
    ("finetune", "learning_rate"): (lambda v: 0 < v <= 10, "above 0 and at most 10"),
    ("finetune", "weight_decay"): (lambda v: 0 <= v <= 1, "from 0 to 1"),
    ("finetune", "warmup_epochs"): (lambda v: 0 <= v <= 10_000, "from 0 to 10000"),
    ("finetune", "label_smoothing"): (lambda v: 0 <= v < 1, "from 0 to below 1"),
    ("finetune", "stages"): (lambda v: 0 <= v <= 1000, "from 0 (the head alone) to 1000"),
    ("finetune", "layer_decay"): (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    ("finetune", "mixup"): (lambda v: 0 <= v <= 100, "from 0 (not used) to 100"),
    ("finetune", "cutmix"): (lambda v: 0 <= v <= 100, "from 0 (not used) to 100"),
    ("finetune", "l2_sp"): (lambda v: 0 <= v <= 10, "from 0 (not used) to 10"),
    ("finetune", "ema"): (lambda v: 0 <= v < 1, "from 0 (not used) to below 1"),
    ("finetune", "patience"): (lambda v: v >= 0, "0 (never stop early) or more epochs"),
    ("finetune", "clip_norm"): (lambda v: v >= 0, "0 (not clipped) or more"),
    ("finetune", "micro_batch"): (
        lambda v: v == 0 or v >= 2,
        "0 (the whole batch), or 2 or more (batch norm needs two)",
    ),
    ("finetune", "lora_rank"): (lambda v: 1 <= v <= 1024, "from 1 to 1024"),
    ("finetune", "lora_alpha"): (lambda v: 0 < v <= 10_000, "above 0 and at most 10000"),
    ("prune", "ratio"): (lambda v: all(0 <= r < 1 for r in v or ()), "shares of channels from 0 to below 1"),
    ("prune", "target_speedup"): (
        lambda v: all(1 < r <= 100 for r in v or ()),
        "factors above 1, at most 100, such as 1.5",
    ),
    ("prune", "target_latency_ms"): (
        lambda v: all(0 < r <= 1e6 for r in v or ()),
        "milliseconds above 0, at most 1000000",
    ),
    ("prune", "layers"): (_are_shares, 'module names with shares from 0 (whole) to below 1, such as "layer4" = 0.2'),
    ("prune", "sparsity_epochs"): (lambda v: 1 <= v <= 1000, "from 1 to 1000"),
    ("prune", "sparsity_strength"): (lambda v: v is None or 0 < v <= 1000, "above 0 and at most 1000"),
    ("prune", "feature_distillation"): (lambda v: 0 <= v <= 1000, "from 0 (not used) to 1000"),
    ("prune", "steps"): (lambda v: 1 <= v <= 50, "from 1 (one-shot) to 50"),
    ("prune", "step_epochs"): (lambda v: 0 <= v <= 1000, "from 0 to 1000"),
    ("prune", "recovery_epochs"): (lambda v: 0 <= v <= 10_000, "from 0 to 10000"),
    ("prune", "learning_rate"): (lambda v: 0 < v <= 10, "above 0 and at most 10"),
    ("prune", "distillation_weight"): (lambda v: 0 <= v <= 1, "from 0 to 1"),
    ("prune", "distillation_temperature"): (lambda v: 0 < v <= 100, "above 0 and at most 100"),
    ("quantize", "calibration_samples"): (lambda v: v >= 1, "1 or more"),
    ("quantize", "worst_in_float"): (lambda v: 0 <= v <= 8, "from 0 to 8 layers"),
    ("quantize", "epochs"): (lambda v: 1 <= v <= 10_000, "from 1 to 10000"),
    ("quantize", "learning_rate"): (lambda v: 0 < v <= 10, "above 0 and at most 10"),
    ("budget", "max_accuracy_drop"): (lambda v: 0 <= v <= 100, "percentage points from 0 to 100"),
    ("budget", "confidence"): (lambda v: v is None or 0.5 < v < 1, "above 0.5 and below 1, such as 0.95"),
    ("budget", "max_hours"): (lambda v: v is None or v > 0, "above 0"),
    ("budget", "max_latency_ms"): (lambda v: v is None or v > 0, "above 0"),
    ("budget", "max_size_mb"): (lambda v: v is None or v > 0, "above 0"),
    ("bench", "threads"): (lambda v: 1 <= v <= 1024, "from 1 to 1024"),
    ("bench", "min_runs"): (lambda v: 10 <= v <= 1_000_000, "from 10 to 1000000"),
    ("bench", "min_seconds"): (lambda v: 0 <= v <= 3600, "from 0 to 3600"),
    ("bench", "max_seconds"): (lambda v: 0 < v <= 36_000, "above 0 and at most 36000"),
    ("tune", "trials"): (lambda v: 1 <= v <= 100_000, "from 1 to 100000"),
    ("tune", "timeout_hours"): (lambda v: v is None or v > 0, "above 0"),
    ("tune", "seed"): (lambda v: v >= 0, "0 or more"),
    ("tune", "lost_after_seconds"): (lambda v: 1 <= v <= 86_400, "from 1 to 86400"),
    ("search", "trials"): (lambda v: 1 <= v <= 100_000, "from 1 to 100000"),
    ("search", "timeout_hours"): (lambda v: v is None or v > 0, "above 0"),
    ("search", "seed"): (lambda v: v >= 0, "0 or more"),
    ("search", "give_up_points"): (lambda v: 0 <= v <= 100, "percentage points from 0 to 100"),
    ("search", "stop_points"): (lambda v: 0 <= v <= 100, "percentage points from 0 to 100"),
    ("search", "lost_after_seconds"): (lambda v: 1 <= v <= 86_400, "from 1 to 86400"),
    ("cost", "per_hour"): (lambda v: v is None or 0 <= v <= 1e9, "from 0 to 1000000000"),
    ("cost", "currency"): (lambda v: len(v) <= 16 and v.isprintable(), "a short name, such as EUR"),
    ("targets", "names"): (lambda v: len(v) > 0, "at least one target"),
}


# For encoders: epochs and decay as in Devlin et al. 2019, rates for small ones.
USUAL_FOR_TEXT: dict[str, dict[str, Any]] = {
    "finetune": {"learning_rate": 1e-4, "epochs": 4, "weight_decay": 0.01, "augmentation": "none"},
    "prune": {"learning_rate": 2e-4},
}
RATE_FOR_LORA = 1e-3  # of text: updates that start at zero want a higher one than weights
SCORED_WHOLE = ("fisher", "fpgm", "random")  # criteria that score a group and not each of its layers
FOR_PICTURES = (
    ("data", "image_size"),
    ("finetune", "augmentation"),
    ("finetune", "mixup"),
    ("finetune", "cutmix"),
    ("finetune", "keep"),
    ("prune", "ratio"),
    ("prune", "criterion"),
    ("prune", "scope"),
    ("prune", "group_reduction"),
    ("prune", "normalization"),
    ("prune", "layers"),
    ("prune", "sparsity"),
    ("prune", "sparsity_epochs"),
    ("prune", "sparsity_strength"),
    ("prune", "feature_distillation"),
    ("prune", "steps"),
    ("prune", "step_epochs"),
    ("prune", "protect"),
    ("quantize", "calibration"),
    ("quantize", "float_layers"),
    ("quantize", "worst_in_float"),
    ("quantize", "scales"),
    ("bundle", "input"),
)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; paths in it stay relative to ``Recipe.base``.

    Raises:
        RecipeError: with file, line and what to write instead.
    """
    try:
        path = path / DEFAULT_NAME if path.is_dir() else path
        there = path.exists()
    except OSError as error:
        raise RecipeError(f"cannot look at {path}: {error.strerror}", hint="check the path") from error
    if not there:
        raise RecipeError(f"there is no recipe at {path}", hint="write one with `edgetune init DATA`")
    return parse_recipe(read_toml(path, RecipeError))


def parse_recipe(file: TomlFile) -> Recipe:
    """Turn parsed TOML into a Recipe and check every value."""
    recipe = into_record(Recipe, _with_target_options(file.data), file, given={"base": file.path.absolute().parent})
    for (section, key), allowed in CHOICES.items():
        value = getattr(getattr(recipe, section), key)
        for item in value if isinstance(value, tuple) else (value,):
            if item not in allowed:
                hint = f"write one of: {', '.join(allowed)}"
                raise file.fail(f'`{section}.{key}` cannot be "{item}"', (section, key), hint)
    for (section, key), (test, says) in LIMITS.items():
        value = getattr(getattr(recipe, section), key)
        if not test(value):
            shown = list(value) if isinstance(value, tuple) else value
            raise file.fail(f"`{section}.{key}` is {shown}; it must be {says}", (section, key))
    _check_model_name(recipe.model.name, file)
    _check_scores(recipe, file)
    if recipe.finetune.keep is not None and recipe.model.weights is None and not recipe.model.pretrained:
        told = "`finetune.keep` asks what a pretrained network forgets, and this one starts at random"
        raise file.fail(told, ("finetune", "keep"), "leave it out")
    _check_repair(recipe, file)
    recipe = _for_text(recipe, file) if recipe.reads_text else recipe
    if recipe.tune.space is not None:
        read_space(
            recipe.tune.space, file, lambda value, where: _check(value, where, ("finetune", where[-1]), recipe, file)
        )
    if recipe.search.space is not None:
        read_search_space(recipe.search.space, file, lambda value, where: _check_searched(value, where, recipe, file))
    return recipe


def _with_target_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """``[targets.NAME]`` tables as ``targets.options``."""
    table = data.get("targets")
    if not isinstance(table, dict):
        return dict(data)
    options = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = {key: value for key, value in table.items() if key not in options}
    return {**data, "targets": {**plain, "options": options} if options else plain}


def _check_searched(value: Any, where: tuple[str, ...], recipe: Recipe, file: TomlFile) -> None:
    """A value of ``[search.space]`` is one that its section takes; a speed-up of 1 and a ratio of 0 prune nothing."""
    section, name = where[-2:]
    if (section, name) == ("model", "name"):
        _check_model_name(value, file, where)
        if value.startswith("transformers/") != recipe.reads_text:
            raise file.fail(f"`{'.'.join(where)}` mixes networks for pictures and for texts", where, "write one kind")
        if recipe.model.weights is not None:
            raise file.fail(
                "`model.weights` fits one network, and `search.space.model.name` names others", where, "leave one out"
            )
        return
    if name == "target_speedup" and value == 1.0:
        return
    if (section, name) == ("quantize", "repair"):
        for repair in value:
            _check(repair, where, (section, name), recipe, file)
            _check_reader(repair, where, recipe, file)
        return
    _check((value,) if name in ("ratio", "target_speedup") else value, where, (section, name), recipe, file)


def _check(value: Any, where: tuple[str, ...], key: tuple[str, str], recipe: Recipe, file: TomlFile) -> None:
    """A value of a space is one that the ``key`` (section, name) takes."""
    if recipe.reads_text and key in FOR_PICTURES:
        raise file.fail(f"`{'.'.join(where)}` is for pictures; this network reads text", where, "leave it out")
    if key in CHOICES and value not in CHOICES[key]:
        raise file.fail(f'`{".".join(where)}` cannot be "{value}"', where, f"write some of: {', '.join(CHOICES[key])}")
    if key in LIMITS and not LIMITS[key][0](value):
        shown = value[0] if isinstance(value, tuple) else value
        raise file.fail(f"`{'.'.join(where)}` holds {shown}; it must be {LIMITS[key][1]}", where)


def _check_repair(recipe: Recipe, file: TomlFile) -> None:
    """Repairs are for one kind of network; those that are there by default count for none."""
    for repair in recipe.quantize.repair if "repair" in file.data.get("quantize", {}) else ():
        _check_reader(repair, ("quantize", "repair"), recipe, file)


def _check_reader(repair: str, where: tuple[str, ...], recipe: Recipe, file: TomlFile) -> None:
    if recipe.reads_text != (repair == SMOOTHQUANT):
        kind, other = ("text", "pictures") if recipe.reads_text else ("pictures", "text")
        hint = f'write ["{SMOOTHQUANT}"] or []' if recipe.reads_text else "leave it out"
        told = f'`{".".join(where)}` has "{repair}", which is for {other}; this network reads {kind}'
        raise file.fail(told, where, hint)


def _for_text(recipe: Recipe, file: TomlFile) -> Recipe:
    """What is usual for texts where the recipe is silent; what is for pictures alone is refused."""
    for section, key in FOR_PICTURES:
        if key in file.data.get(section, {}):
            raise file.fail(
                f"`{section}.{key}` is for pictures; this network reads text", (section, key), "leave it out"
            )
    values = dict(USUAL_FOR_TEXT)
    if recipe.finetune.strategy == "lora":
        values["finetune"] = {**values["finetune"], "learning_rate": RATE_FOR_LORA}
    usual = {
        section: {key: value for key, value in ours.items() if key not in file.data.get(section, {})}
        for section, ours in values.items()
    }
    return replace(
        recipe,
        finetune=replace(recipe.finetune, **usual["finetune"]),
        prune=replace(recipe.prune, **usual["prune"]),
    )


def _check_scores(recipe: Recipe, file: TomlFile) -> None:
    """Options of scores that the criterion does not have (``edgetune.pruning.criteria`` says which those are)."""
    prune = recipe.prune
    if prune.group_reduction != "auto" and prune.criterion in SCORED_WHOLE:
        message = f'`prune.group_reduction` means nothing to the criterion "{prune.criterion}"'
        raise file.fail(message, ("prune", "group_reduction"), "leave it out, or choose another criterion")
    if prune.normalization != "auto" and prune.criterion == "lamp":
        message = '`prune.normalization` cannot be set for the criterion "lamp", which is one itself'
        raise file.fail(message, ("prune", "normalization"), "leave it out")


def _check_model_name(name: str, file: TomlFile, where: tuple[str, ...] = ("model", "name")) -> None:
    library, _, rest = name.partition("/")
    module, _, factory = name.partition(":")
    if (library in ("torchvision", "timm", "transformers") and rest) or ("/" not in name and module and factory):
        return
    hint = (
        'write "torchvision/NAME" (such as "torchvision/mobilenet_v2"), "timm/NAME", "transformers/NAME" or '
        '"package.module:factory"'
    )
    told = ".".join(where)
    raise file.fail(f'`{told}` is "{name}", which is neither a library\'s network nor a factory', where, hint)
