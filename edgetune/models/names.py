"""Modules that a recipe names: those of the network, or an error with what may have been meant."""

import difflib
from collections.abc import Iterable

import torch
from torch import nn

from edgetune.errors import RecipeError
from edgetune.models.text_classifier import LIBRARY, make_text_classifier, read_config
from edgetune.models.zoo import make_network
from edgetune.records import Recipe

SHOWN = 11
CLASSES = 10  # of the network whose names are looked at; they do not depend on it


def named_modules(network: nn.Module, names: Iterable[str], key: str) -> list[nn.Module]:
    """The modules of ``network`` called ``names``.

    Args:
        key: of the recipe, for the message.

    Raises:
        RecipeError: it has none of that name; with near ones.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    for name in names:
        if name not in modules:
            near = difflib.get_close_matches(name, modules, n=3) or [other for other in modules if name in other][:3]
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(list(modules)[:SHOWN])}, ..."
            raise RecipeError(f"`{key}` names {name!r}, which the network does not have", hint=hint)
    return [modules[name] for name in names]


def check_names(recipe: Recipe) -> None:
    """Look at the modules that ``recipe`` names before anything is trained; makes the network only if there are any.

    Raises:
        RecipeError: as ``named_modules``. ModelError: the network cannot be made.
    """
    named = {
        "prune.protect": recipe.prune.protect,
        "prune.layers": tuple(recipe.prune.layers),
        "quantize.keep_float": recipe.quantize.keep_float,
    }
    if any(named.values()):
        network = _of_text(recipe) if recipe.reads_text else _of_pictures(recipe)
        for key, names in named.items():
            found = named_modules(network, names, key)
            if recipe.reads_text and key == "quantize.keep_float":
                _check_layers(names, found)


def _check_layers(names: Iterable[str], modules: Iterable[nn.Module]) -> None:
    """Of an encoder linear layers and tables are quantized: a module to leave in float must hold one."""
    for name, module in zip(names, modules, strict=True):
        if not any(isinstance(part, (nn.Linear, nn.Embedding)) for part in module.modules()):
            raise RecipeError(
                f"`quantize.keep_float` names {name!r}, which has no linear layer and no table",
                hint="name a layer that computes, or the block around it",
            )


def _of_pictures(recipe: Recipe) -> nn.Module:
    return make_network(recipe.model.name, CLASSES, recipe.model.args, recipe.base)


def _of_text(recipe: Recipe) -> nn.Module:
    """The encoder of the recipe's folder, or of the hub, without memory for its weights."""
    weights = recipe.model.weights
    config = read_config(recipe.model.name.removeprefix(LIBRARY) if weights is None else str(recipe.base / weights))
    with torch.device("meta"):
        return make_text_classifier(CLASSES, config)
