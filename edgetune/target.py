"""targets/*.toml -> frozen Target: those that ship with edgetune, and the user's own beside the recipe.

A user's file lies in ``targets/`` beside the recipe, or anywhere and is named by its path. With ``extends =
"arm-cpu"`` it says only what differs. A name of the user's wins over a shipped one.
"""

import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgetune.errors import TargetError
from edgetune.inference import INFERENCE_LIBRARIES
from edgetune.records import Recipe, Target
from edgetune.toml import TomlFile, into_record, nearest, read_toml

FOLDER = "targets"
CHOICES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("backend",): tuple(INFERENCE_LIBRARIES),
    ("arch",): ("x86_64", "aarch64", "any"),
    ("precisions",): ("int8", "fp16", "fp32"),
    ("scheme", "activation"): ("uint8", "int8"),
    ("scheme", "operators"): ("conv", "linear", "add", "mul", "sigmoid", "hardsigmoid", "pool", "cat"),
}


def target_files(base: Path | None = None) -> dict[str, Path]:
    """{name: file} of the shipped targets and of those in ``targets/`` under ``base``, sorted by name."""
    shipped = Path(str(files("edgetune.targets")))
    found = {path.stem: path for path in shipped.glob("*.toml")}
    if base is not None:
        found |= {path.stem: path for path in (base / FOLDER).glob("*.toml")}
    return dict(sorted(found.items()))


def all_targets(base: Path | None = None) -> tuple[Target, ...]:
    """Every target that ``load_target`` knows by name."""
    return tuple(read_target(path, base) for path in target_files(base).values())


def load_target(name: str, base: Path | None = None) -> Target:
    """The target called ``name``, whose alias it is, or whose file it names (ending in ``.toml``).

    Args:
        base: folder of the recipe, for the user's own targets.

    Raises:
        TargetError: for an unknown name, with the nearest known one.
    """
    if name.endswith(".toml"):
        return read_target(_file(name, base), base)
    known = target_files(base)
    if name in known:
        return read_target(known[name], base)
    if (shipped := _by_alias(name)) is not None:  # also where a file of the user's own is wrong
        return read_target(known[shipped.stem], base)
    targets = all_targets(base)
    for target in targets:
        if name in target.aliases:
            return target
    names = [*known, *(alias for target in targets for alias in target.aliases)]
    raise TargetError(
        f'unknown target "{name}"', hint=nearest(name, names, "target") + " (`edgetune targets` lists them)"
    )


def recipe_target(recipe: Recipe, name: str) -> Target:
    """The target called ``name``, with what the recipe's ``[targets.NAME]`` says over its ``backend_options``.

    Raises:
        TargetError: for an unknown name, here or in the recipe.
    """
    target = load_target(name, recipe.base)
    own: dict[str, Any] = {}
    for written, options in recipe.targets.options.items():
        if load_target(written, recipe.base).name == target.name:
            own |= options
    return replace(target, backend_options={**target.backend_options, **own}) if own else target


def read_target(path: Path, base: Path | None = None) -> Target:
    """Read one target file.

    Raises:
        TargetError: with file, line and the nearest valid key or value.
    """
    file = _extended(read_toml(path, TargetError), base, (path,))
    target = into_record(Target, file.data, file, given={"name": path.stem})
    _check_values(target, file)
    return target


def same_arch(target: Target, machine: str | None = None) -> bool:
    """Whether this machine's processor runs what ``target`` is compiled for."""
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    machine = (machine or platform.machine()).lower()
    return target.arch in ("any", names.get(machine, machine))


def _file(name: str, base: Path | None) -> Path:
    path = Path(name)
    beside = base / path if base is not None else path
    return beside if beside.exists() else path


def _extended(file: TomlFile, base: Path | None, seen: tuple[Path, ...]) -> TomlFile:
    """The file with what it does not say filled in from the target it extends; aliases are not inherited."""
    own = dict(file.data)
    parent_name = own.pop("extends", None)
    if parent_name is None:
        return file
    if not isinstance(parent_name, str):
        raise file.fail("`extends` must be the name of a target", ("extends",))
    known = {name: path for name, path in target_files(base).items() if path not in seen}
    parent = known.get(parent_name) or _by_alias(parent_name)
    if parent is None and parent_name.endswith(".toml"):
        parent = _file(parent_name, file.path.parent)
    if parent is None or parent in seen:
        raise file.fail(
            f'`extends` names "{parent_name}", which is no other target',
            ("extends",),
            nearest(parent_name, [*known], "target"),
        )
    inherited = dict(_extended(read_toml(parent, TargetError), base, (*seen, parent)).data)
    inherited.pop("aliases", None)
    return TomlFile(path=file.path, text=file.text, data=_merged(inherited, own), error=file.error)


def _by_alias(name: str) -> Path | None:
    """The file of the shipped target that goes by this name, too; those of the user's own may be being read."""
    files = target_files().values()
    return next((path for path in files if name in read_toml(path, TargetError).data.get("aliases", ())), None)


def _merged(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(inherited)
    for key, value in own.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = {**before, **value} if both else value  # type: ignore[dict-item]
    return merged


def _check_values(target: Target, file: TomlFile) -> None:
    for keys, allowed in CHOICES.items():
        value: Any = target
        for key in keys:
            value = getattr(value, key)
        for item in (value,) if isinstance(value, str) else value:
            if item not in allowed:
                hint = f"write one of: {', '.join(allowed)}"
                raise file.fail(f'`{".".join(keys)}` cannot be "{item}"', keys, hint)
    if target.channel_multiple < 1 or not target.precisions:
        raise file.fail("`channel_multiple` must be 1 or more, and `precisions` must name one", ("channel_multiple",))
