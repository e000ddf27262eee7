"""Which file defines the user's own network, found without importing it."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path


def source_file(name: str, base: Path) -> Path | None:
    """The file of ``package.module:factory`` (its content is part of the cache key); None for a library's network.

    ``base`` is looked in first, then the Python path. None also when there is no such module.
    """
    if "/" in name:
        return None
    search, spec = [str(base), *sys.path], None
    for part in name.partition(":")[0].split("."):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec is not None and spec.origin else None
