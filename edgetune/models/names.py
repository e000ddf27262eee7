"""Modules that a recipe names: those of the network, or an error with what may have been meant."""

import difflib
from collections.abc import Iterable

from torch import nn

from edgetune.errors import RecipeError

SHOWN = 11


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
