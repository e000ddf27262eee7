"""The user's own network: which files define it, and importing what they say now."""

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_imported: dict[str, Any] = {"base": None, "state": None}  # of the user's code that is in sys.modules now


def source_file(name: str, base: Path) -> Path | None:
    """The file of ``package.module:factory``; None for a library's network, or when there is no such module.

    ``base`` is looked in first, then the Python path.
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


def source_files(name: str, base: Path) -> list[Path]:
    """The file of the network, and all modules and packages beside the recipe, which it may import.

    Their contents are part of the cache key.
    """
    own = source_file(name, base)
    if own is None:
        return []
    beside = _code_beside(base) if own.is_relative_to(base) else []
    return sorted({own, *beside})


def import_afresh(module_name: str, base: Path | None) -> ModuleType:
    """Import a module of the user's, as its files are now and from this folder.

    Code of another recipe's folder, or from before the files changed, is forgotten first.
    """
    if base is None:
        return importlib.import_module(module_name)
    state = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in _code_beside(base)]
    if _imported != {"base": base, "state": state}:
        for folder in {base, _imported["base"]} - {None}:
            _forget(folder)
        importlib.invalidate_caches()
        _imported.update(base=base, state=state)
    if sys.path[:1] != [str(base)]:
        sys.path[:] = [str(base), *(place for place in sys.path if place != str(base))]
    return importlib.import_module(module_name)


def _code_beside(base: Path) -> list[Path]:
    """Modules in ``base``, and those of the packages in it."""
    modules = list(base.glob("*.py"))
    for package in base.glob("*/__init__.py"):
        modules += package.parent.rglob("*.py")
    return sorted(modules)


def _forget(folder: Path) -> None:
    files = {str(path) for path in _code_beside(folder)}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in files:
            del sys.modules[name]
