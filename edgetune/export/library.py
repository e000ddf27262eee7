"""torch.onnx's library of translations, read once in a process instead of anew by each export.

Reading it means to parse the sources of all its functions, each time with the same outcome, which is a large part of
the export of a small network.
"""

import contextlib
import copy
import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

PLACE, REGISTRY, READ = "torch.onnx._internal.exporter._registration", "ONNXRegistry", "from_torchlib"  # of torch 2.14
OPERATORS = "_dispatch_get_all_op_names"


@contextlib.contextmanager
def read_once() -> Iterator[None]:
    """While this is open, each export gets a copy of its own of what the first one in this process has read.

    These names are private to torch: where one of them is gone, each export reads for itself.
    """
    try:
        registry = getattr(importlib.import_module(PLACE), REGISTRY)
        theirs, all_operators = vars(registry)[READ], getattr(torch._C, OPERATORS)
    except (ImportError, AttributeError, KeyError):
        yield
        return

    def copied(**opset: int) -> Any:
        """A library that an export may add its own translations to."""
        # Translations of operators that nobody has registered yet, such as torchvision's, are left out of it.
        found = copy.copy(_read(theirs.__get__(None, registry), len(all_operators()), **opset))
        found.functions = {operator: list(known) for operator, known in found.functions.items()}
        return found

    setattr(registry, READ, staticmethod(copied))
    try:
        yield
    finally:
        setattr(registry, READ, theirs)


@cache
def _read(read: Any, _operators: int, **opset: int) -> Any:
    return read(**opset)
