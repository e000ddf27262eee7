"""Make a network by name: ``torchvision/NAME``, ``timm/NAME``, ``transformers/NAME`` or the user's own
``package.module:factory``.

A factory is called with ``num_classes`` and the recipe's ``[model] args`` and returns an
``nn.Module`` that maps float32 [N, 3, H, W] to logits [N, num_classes]. Of ``transformers/NAME``
the args hold its configuration (``text_classifier.read_config``), so that no folder is needed to make it again.
"""

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from edgetune.errors import ModelError, WeightsError
from edgetune.models.source import import_afresh

# Heads that only help training from scratch, by their prefix in state dicts; they run in train mode alone, so that
# neither pruning nor export would know them.
AUXILIARY = {"torchvision/googlenet": ("aux1.", "aux2."), "torchvision/inception_v3": ("AuxLogits.",)}


def make_network(name: str, num_classes: int, args: Mapping[str, Any], base: Path | None = None) -> nn.Module:
    """A network with fresh weights and ``num_classes`` outputs.

    Args:
        base: a folder in which the user's own modules are looked for first.

    Raises:
        ModelError: unknown name, factory that cannot be imported, or that fails.
    """
    if name.startswith("transformers/"):
        from edgetune.models.text_classifier import make_text_classifier  # an extra; networks for pictures do without

        return make_text_classifier(num_classes, args["config"])
    factory, label = _factory(name, base)
    try:
        network = factory(num_classes=num_classes, **args)
    except (Exception, SystemExit) as problem:
        raise ModelError(
            f"{label} failed: {type(problem).__name__}: {problem}",
            hint="it is called as factory(num_classes=N, **args), args from `[model] args`",
        ) from problem
    if not isinstance(network, nn.Module):
        raise ModelError(f"{label} returned a {type(network).__name__}", hint="it must return a torch.nn.Module")
    return network


def check_name(name: str, base: Path | None = None) -> None:
    """Look whether there is a network for pictures of this name, without making it.

    Raises:
        ModelError: unknown name, or factory that cannot be imported.
    """
    _factory(name, base)


def _factory(name: str, base: Path | None) -> tuple[Any, str]:
    library = _LIBRARIES.get(name.partition("/")[0])
    return library(name) if library else _user_factory(name, base)


def library_weights(name: str) -> dict[str, torch.Tensor]:
    """The state dict a library publishes for its network (downloaded once, then kept where the library does).

    Raises:
        WeightsError: no such weights, or no network to fetch them over.
    """
    library, _, model = name.partition("/")
    try:
        if library == "timm":
            return dict(_timm().create_model(model, pretrained=True).state_dict())
        weights = torchvision.models.get_model_weights(model)
        return dict(weights.DEFAULT.get_state_dict(progress=False, check_hash=True))
    except ModelError:
        raise
    except Exception as problem:  # hubs fail in ways of their own
        raise WeightsError(
            f"{library}'s pretrained weights for {model} cannot be had: {str(problem).splitlines()[0]}",
            hint="download them on a machine with a network and set `[model] weights`, or set `pretrained = false`",
        ) from problem


def _torchvision(name: str) -> tuple[Any, str]:
    model = name.removeprefix("torchvision/")
    known = torchvision.models.list_models(module=torchvision.models)
    if model not in known:
        close = difflib.get_close_matches(model, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see torchvision.models.list_models()"
        raise ModelError(f'torchvision has no classification network "{model}"', hint=hint)

    def factory(**kwargs: Any) -> nn.Module:
        if name in AUXILIARY:
            kwargs = {"aux_logits": False, "init_weights": True, **kwargs}
        network: nn.Module = torchvision.models.get_model(model, weights=None, **kwargs)
        return network

    return factory, name


def _timm_network(name: str) -> tuple[Any, str]:
    timm, model = _timm(), name.removeprefix("timm/")
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see timm.list_models()"
        raise ModelError(f'timm has no network "{model}"', hint=hint)

    def factory(**kwargs: Any) -> nn.Module:
        network: nn.Module = timm.create_model(model, pretrained=False, **kwargs)
        return network

    return factory, name


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as problem:
        raise ModelError("this network needs timm", hint="pip install 'edgetune[timm]'") from problem


def _user_factory(name: str, base: Path | None) -> tuple[Any, str]:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_afresh(module_name, base)
    except (Exception, SystemExit) as problem:  # the user's code may raise anything, and a script may leave
        where = f" or relative to {base}" if base else ""
        raise ModelError(
            f"cannot import {module_name}: {type(problem).__name__}: {problem}",
            hint=f"`model.name` is package.module:factory, found on PYTHONPATH{where}",
        ) from problem
    factory = getattr(module, attribute, None)
    if not callable(factory):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ModelError(f"{module_name} has no function {attribute}", hint=f"it has: {', '.join(functions) or 'none'}")
    return factory, name


_LIBRARIES = {"torchvision": _torchvision, "timm": _timm_network}
