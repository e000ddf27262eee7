"""Commands around fine-tuning and quantization: rates, hyperparameters, a diagnosis."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.api.building import check_network
from edgetune.api.common import open_store
from edgetune.errors import InputError
from edgetune.plan import make_diagnosis_plan, make_lr_find_plan
from edgetune.plan.candidates import makes_int8
from edgetune.progress import Quiet, Reporter
from edgetune.recipe import load_recipe
from edgetune.surroundings import look_around
from edgetune.target import recipe_target

MOST_SAMPLES = 10_000_000


def lr_find(
    recipe: str | Path = "edgetune.toml",
    *,
    output: str | Path | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Learning-rate range test of the recipe's fine-tuning.

    Args:
        output: folder for ``lr_find.csv`` and ``lr_find.json``; None: ``lr_find`` beside the recipe.
        lowest, highest, steps: the rates tried, and with how many batches.

    Returns:
        ``suggestion`` (a peak for ``[finetune] learning_rate``), ``diverged``, the curve as ``rates``, ``losses``
        and ``smoothed``, and ``files``.

    Raises:
        EdgetuneError: as of ``build``. TrainingError: the loss exploded at once, or there is no rate to find.
    """
    if not 0 < lowest < highest <= 100 or steps < 20:
        raise InputError(
            f"rates from {lowest:g} to {highest:g} in {steps} steps cannot be tried",
            hint="the lowest must be above 0 and below the highest, which is at most 100, in 20 steps or more",
        )
    loaded = load_recipe(Path(recipe))
    surroundings = look_around(loaded, ())
    made = make_lr_find_plan(loaded, surroundings.facts, lowest=lowest, highest=highest, steps=steps)
    outcomes = pipeline.run(made, open_store(cache_dir), surroundings, reporter or Quiet())
    artifact = outcomes["lr-find"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found: dict[str, Any] = json.loads((artifact.path / "lr_find.json").read_text(encoding="utf-8"))
    folder = Path(output).absolute() if output else loaded.base / "lr_find"
    return {**found, "files": [str(path) for path in _write_curve(found, folder)]}


def diagnose(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | None = None,
    samples: int = 256,
    output: str | Path | None = None,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Where the fine-tuned network loses its accuracy to 8 bits, why, and what helps; tried on the validation split.

    Args:
        target: whose scheme; None: the recipe's first.
        samples: validation samples to look at, about.
        output: folder for ``diagnosis.json`` and ``diagnosis.html``; None: ``diagnosis`` beside the recipe.

    Returns:
        What ``diagnosis.json`` holds, and ``files``.

    Raises:
        EdgetuneError: as of ``build``. InputError: a target without 8 bits for such a network.
    """
    from edgetune.report.diagnosis import write_diagnosis  # it needs jinja2

    if not 1 <= samples <= MOST_SAMPLES:
        raise InputError(f"{samples} samples cannot be looked at", hint=f"give 1 to {MOST_SAMPLES}")
    loaded = load_recipe(Path(recipe))
    chosen = recipe_target(loaded, target or loaded.targets.names[0])
    if not makes_int8(loaded, chosen):
        raise InputError(f"target {chosen.name} has no 8-bit engines", hint="name another with --target")
    surroundings = look_around(loaded, (chosen,))
    store = open_store(cache_dir)
    check_network(loaded, surroundings, store)
    made = make_diagnosis_plan(loaded, chosen, surroundings.facts, samples=samples)
    outcomes = pipeline.run(made, store, surroundings, reporter or Quiet())
    artifact = outcomes["diagnose"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    found: dict[str, Any] = json.loads((artifact.path / "diagnosis.json").read_text(encoding="utf-8"))
    found = {"target": chosen.name, "model": loaded.model.name, **found}
    folder = Path(output).absolute() if output else loaded.base / "diagnosis"
    return {**found, "files": [str(path) for path in write_diagnosis(found, folder)]}


def _write_curve(found: Mapping[str, Any], folder: Path) -> list[Path]:
    rows = zip(found["rates"], found["losses"], found["smoothed"], strict=True)
    table, whole = folder / "lr_find.csv", folder / "lr_find.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("learning_rate", "loss", "smoothed_loss"), *rows])
        whole.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", hint="give another --output") from error
    return [table, whole]


def tune(
    recipe: str | Path = "edgetune.toml",
    *,
    storage: str | None = None,
    join: str | None = None,
    force: bool = False,
    patience: float = 300.0,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Search values for ``[finetune]`` on validation, as ``[tune]`` says; go on with a search that was begun.

    Args:
        storage: a URL, or an SQLite file by the recipe; None: the recipe's.
        join: ``grpc://HOST:PORT`` of a search that ``tune_serve`` serves.
        force: overwrite ``edgetune.tuned.toml``, whoever wrote it.
        patience: seconds to wait for a storage that has gone.

    Returns:
        What ``tune/tune.json`` holds, and ``recipe`` and ``files``: what was written.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished trials are kept.
    """
    with _tuning() as session:
        options = session.Options(storage=storage, join=join, force=force, patience=patience)
        found: dict[str, Any] = session.tune(Path(recipe), options, open_store(cache_dir), reporter or Quiet())
    return found


def tune_serve(
    recipe: str | Path = "edgetune.toml",
    *,
    address: str,
    storage: str | None = None,
    announce: Callable[[str], None],
) -> None:
    """Serve the search of a recipe to workers on other machines, until the process is stopped.

    Args:
        address: ``HOST:PORT`` to listen at.
        announce: told the URL to join.

    Raises:
        InputError: it cannot be listened there. TuneError: the storage cannot be opened.
    """
    with _tuning() as session:
        session.serve(Path(recipe), session.Options(storage=storage), address, announce)


def search(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | None = None,
    storage: str | None = None,
    join: str | None = None,
    force: bool = False,
    patience: float = 300.0,
    work: str = "all",
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Search compression by building and timing engines, as ``[search]`` says; go on with a search that was begun.

    Args:
        target: whose engines; None: the recipe's first.
        storage, join, patience: as of ``tune``.
        force: overwrite ``edgetune.searched.toml``, whoever wrote it.
        work: "train" or "measure": only that, for workers of the other kind, through ``$EDGETUNE_REMOTE``.

    Returns:
        What ``search/search.json`` holds, and ``recipe`` (None: no engine is inside the budget and proven faster) and
        ``files``: what was written.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished trials are kept.
    """
    with _searching() as session:
        options = session.Options(storage=storage, join=join, force=force, patience=patience, work=work)
        found: dict[str, Any] = session.search(
            Path(recipe), target, options, open_store(cache_dir), reporter or Quiet()
        )
    return found


def search_serve(
    recipe: str | Path = "edgetune.toml",
    *,
    address: str,
    target: str | None = None,
    storage: str | None = None,
    announce: Callable[[str], None],
) -> None:
    """Serve the search of a recipe to workers on other machines: as ``tune_serve``.

    Raises:
        InputError: it cannot be listened there. TuneError: the storage cannot be opened.
    """
    with _searching() as session:
        session.serve(Path(recipe), target, session.Options(storage=storage), address, announce)


@contextmanager
def _tuning() -> Iterator[Any]:
    """The module of ``tune``, whose libraries are an extra."""
    with _extra():
        from edgetune.tune import session
    yield session


@contextmanager
def _searching() -> Iterator[Any]:
    """The module of ``search``, whose libraries are those of ``tune``."""
    with _extra():
        from edgetune.search import session
    yield session


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("optuna", "grpc", "google", "tomlkit"):
            raise
        raise InputError(
            f"a search needs {error.name}, which is not installed", hint="pip install 'edgetune[tune]'"
        ) from None
