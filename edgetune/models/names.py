"""Modules that a recipe names: those of the network, or an error with what may have been meant."""

import difflib
from collections.abc import Iterable

from torch import nn

from edgetune.errors import RecipeError
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
    if not recipe.reads_text and any(named.values()):
        network = make_network(recipe.model.name, CLASSES, recipe.model.args, recipe.base)
        for key, names in named.items():
            named_modules(network, names, key)
