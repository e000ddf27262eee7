"""Recipes and targets as plain data: parameters of steps, and what a report or a bundle tells of a recipe."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from edgetune.inference import INFERENCE_LIBRARIES, session_settings
from edgetune.private import cleaned
from edgetune.records import FinetuneSpec, Recipe, Target


def finetune_as_data(spec: FinetuneSpec) -> dict[str, Any]:
    """The options that training depends on: what is for one strategy alone changes no result of another."""
    content = asdict(spec)
    del content["keep"]
    if spec.strategy != "lora":
        del content["lora_rank"], content["lora_alpha"]
    for key in ("compile", "sharding"):
        if content[key] == "auto":
            del content[key]
    return content


def recipe_as_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data for a report: of absolute paths only the last part, which tells no one's folders."""
    content = asdict(recipe)
    del (
        content["base"],
        content["tune"],
        content["search"],
    )  # no result depends on it, and a storage's URL may hold a password
    for section, key in (("data", "path"), ("model", "weights"), ("finetune", "keep")):
        path = content[section][key]
        if path is not None and PurePath(path).is_absolute():
            content[section][key] = PurePath(path).name
    plain: dict[str, Any] = cleaned(_plain(content))
    return plain


def recipe_for_bundle(recipe: Recipe) -> dict[str, Any]:
    """What of the recipe made the engine: all but where things lie and how they were measured."""
    content = recipe_as_data(recipe)
    for section in ("bench", "targets", "budget", "cost"):
        del content[section]
    content["data"] = (
        {"max_length": recipe.data.max_length} if recipe.reads_text else {"image_size": recipe.data.image_size}
    )
    content["finetune"] = finetune_as_data(recipe.finetune)
    content["model"].pop("weights")
    if not recipe.bundle.takes_pixels:
        del content["bundle"]
    return content


def scheme_as_data(target: Target) -> dict[str, Any]:
    scheme: dict[str, Any] = _plain(asdict(target.scheme))
    return scheme


def session_of(target: Target) -> dict[str, Any]:
    """How engines that are only timed are opened; without a backend it is ONNX Runtime."""
    backend = {} if target.backend == "onnxruntime" else {"backend": target.backend}
    return {**backend, **session_settings(target.backend, target.backend_options)}


def runs_in(target: Target) -> tuple[str, ...]:
    """The distribution whose version counts for whatever runs engines of ``target``."""
    distribution = INFERENCE_LIBRARIES[target.backend].distribution
    return () if distribution is None else (distribution,)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
