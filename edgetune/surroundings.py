"""What a build needs to know of the world before it plans: digests of its sources, and what runs here."""

import importlib
from dataclasses import dataclass
from pathlib import Path

from edgetune.backends import BACKENDS, tensorrt
from edgetune.backends.protocol import Backend
from edgetune.data.scan import fingerprint, scan
from edgetune.data.texts import fingerprint_texts, is_text_data
from edgetune.devices import local
from edgetune.errors import RecipeError, WeightsError
from edgetune.hashing import digest_file, digest_json
from edgetune.models.source import source_files
from edgetune.records import Facts, Recipe, Target
from edgetune.target import same_arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Facts for the plan, and where the sources lie."""

    facts: Facts
    data: Path
    weights: Path | None


def look_around(recipe: Recipe, targets: tuple[Target, ...]) -> Surroundings:
    """Find the sources of ``recipe`` and digest them.

    Raises:
        DataError: the dataset is missing or makes no sense. WeightsError: there is no such file.
    """
    data_path = recipe.base / recipe.data.path
    if data_path.exists() and is_text_data(data_path) != recipe.reads_text:
        raise _other_kind(recipe)
    weights = recipe.base / recipe.model.weights if recipe.model.weights else None
    if weights is not None and not (weights.is_dir() if recipe.reads_text else weights.is_file()):
        what = "folder with pretrained weights" if recipe.reads_text else "weights file"
        raise WeightsError(f"there is no {what} {weights}", hint="`[model] weights` is relative to the recipe")
    code = source_files(recipe.model.name, recipe.base)
    sources = {
        "data": fingerprint_texts(data_path) if recipe.reads_text else fingerprint(scan(data_path)),
        "weights": _digest(weights) if weights else ("library" if recipe.model.pretrained else "random"),
        "code": digest_json([(path.name, digest_file(path)) for path in code]) if code else "library",
        "device": local.fingerprint(),
        "processor": local.processor(),
    }
    for target in targets:
        if target.backend == "tensorrt":
            tensorrt.check_options(target)
    unavailable = {target.name: why_not_here(target) for target in targets}
    return Surroundings(facts=Facts(sources=sources, unavailable=unavailable), data=data_path, weights=weights)


def _digest(weights: Path) -> str:
    """Of a file, or of a folder's own files."""
    if weights.is_file():
        return digest_file(weights)
    files = sorted(path for path in weights.iterdir() if path.is_file() and path.name[0] != ".")
    return digest_json([(path.name, digest_file(path)) for path in files])


def _other_kind(recipe: Recipe) -> RecipeError:
    if recipe.reads_text:
        return RecipeError(
            f"{recipe.model.name} reads text, and {recipe.data.path} holds none",
            hint="texts come as CSV or JSON Lines with `text,label`, or a folder of train.csv, val.csv and test.csv",
        )
    return RecipeError(
        f"{recipe.data.path} holds texts, and {recipe.model.name} classifies pictures",
        hint='choose an encoder: `[model] name = "transformers/NAME"`',
    )


def load_backend(name: str) -> Backend:
    """The module of a backend."""
    backend: Backend = importlib.import_module(BACKENDS[name])
    return backend


def why_not_here(target: Target) -> str | None:
    """Why engines of ``target`` cannot be run and measured on this machine; None: they can."""
    if not same_arch(target):
        return f"this machine does not run {target.arch} engines"
    return load_backend(target.backend).unavailable_reason(target)
