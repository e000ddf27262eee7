"""Operators of the user's own in ONNX: what the exporter does not know is translated by functions registered here."""

from collections.abc import Callable
from typing import Any

TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {}


def register_operator(operator: Callable[..., Any], translation: Callable[..., Any]) -> None:
    """Export ``operator`` (such as ``torch.ops.mine.twist.default``) as ``translation`` says.

    Call it in the module that ``[model] name = "package.module:factory"`` names, which every step imports.

    Args:
        translation: a function of onnxscript, with the operator's arguments.
    """
    TRANSLATIONS[operator] = translation
