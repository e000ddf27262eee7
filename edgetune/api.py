"""What ``import edgetune`` offers, and all that the command line calls."""

import datetime as dt
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetune import pipeline
from edgetune.devices import local
from edgetune.errors import InputError
from edgetune.plan import make_plan
from edgetune.progress import Quiet, Reporter
from edgetune.recipe import load_recipe
from edgetune.records import BenchSpec, Plan, Report, Target
from edgetune.report.assemble import assemble
from edgetune.report.write import write_reports
from edgetune.store import Store, default_root
from edgetune.surroundings import Surroundings, look_around, why_not_here
from edgetune.target import all_targets, load_target

RUNS = "runs"


def build(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    run_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Fine-tune, compress, compile, measure and bundle, as the recipe says.

    Args:
        recipe: path of an ``edgetune.toml``, or of the folder it lies in.
        target: one or more target names; None: those of the recipe.
        run_dir: where reports and bundles go; None: ``runs/<date and time>`` beside the recipe.
        cache_dir: the store of finished steps; None: see ``edgetune.store.default_root``.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished steps are kept.
    """
    reporter = reporter or Quiet()
    made, surroundings = _plan(recipe, target)
    folder = _run_folder(made, run_dir)
    store = _store(cache_dir)
    outcomes = pipeline.run(made, store, surroundings, reporter)
    data = assemble(
        made,
        {name: outcome.artifact for name, outcome in outcomes.items() if outcome.artifact is not None},
        {name: outcome.reason for name, outcome in outcomes.items() if outcome.reason is not None},
        pipeline.tell(outcomes, store),
        {"versions": pipeline.library_versions(), "machine": local.describe()},
    )
    data["run"] = folder.name
    folder.mkdir(parents=True, exist_ok=True)
    _publish(made, outcomes, folder)
    write_reports(data, folder)
    return Report(data=data, run_dir=folder)


def plan(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[Plan, list[pipeline.Status]]:
    """What ``build`` would do: the plan, and for each step whether it is cached and what it is likely to cost."""
    made, _ = _plan(recipe, target)
    return made, pipeline.preview(made, _store(cache_dir))


def init(data: str | Path, recipe: str | Path = "edgetune.toml") -> Path:
    """Look at a dataset and write a commented recipe for it; never overwrites one.

    Raises:
        DataError: the dataset is missing or makes no sense. InputError: the recipe exists.
    """
    from edgetune.data.propose import propose_recipe  # the other commands do without it

    path = Path(recipe).absolute()
    text = propose_recipe(Path(data).absolute(), path.parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists and is not overwritten", hint="give another name with --output") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def bench(
    models: Sequence[str | Path],
    *,
    spec: BenchSpec | None = None,
    shapes: Sequence[str] = (),
    batch: int | None = None,
    rate: float | None = None,
    arrivals: str = "poisson",
    offline: bool = False,
    seed: int = 0,
    output: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measure ONNX files and bundles side by side; the first is what the others are compared with.

    Args:
        shapes: ``"image=1x3x224x224"`` or ``"seq=64"`` for free dimensions.
        batch: samples of one inference, for a free first dimension.
        rate: requests per second of the fixed-rate scenario; ``arrivals`` is poisson or constant.
        offline: judge by throughput.
        output: a JSON file for all of it; the raw values, which it holds, are under ``raw``.

    Raises:
        InputError: a file, shape or option that cannot be; names it.
    """
    from edgetune.measure.bench import bench as run  # the other commands do without it
    from edgetune.measure.inputs import parse_shapes
    from edgetune.measure.scenarios import make_scenario

    reporter = reporter or Quiet()
    destination = _writable(output)
    try:
        result = run(
            [Path(model) for model in models],
            spec=spec or BenchSpec(),
            scenario=make_scenario(rate, arrivals, offline),
            shapes=parse_shapes(shapes),
            batch=batch,
            seed=seed,
            progress=reporter.tick("measure"),
        )
    finally:
        reporter.close()
    result["versions"] = pipeline.library_versions()
    if destination is not None:
        destination.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def self_check(
    model: str | Path,
    *,
    repeats: int = 20,
    spec: BenchSpec | None = None,
    shapes: Sequence[str] = (),
    batch: int | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Test the measurement on this machine: ``model`` against itself, and against a 3 % slower copy.

    Raises:
        InputError: a file or shape that cannot be; names it.
    """
    from edgetune.measure.inputs import parse_shapes
    from edgetune.measure.self_check import self_check as run

    reporter = reporter or Quiet()
    destination = _writable(output)
    try:
        result = run(
            Path(model),
            repeats=repeats,
            spec=spec or BenchSpec(),
            shapes=parse_shapes(shapes),
            batch=batch,
            seed=seed,
            progress=reporter.tick("self-check"),
        )
    finally:
        reporter.close()
    result["versions"] = pipeline.library_versions()
    if destination is not None:
        destination.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _writable(output: str | Path | None) -> Path | None:
    """The file for a result, checked before anything is measured."""
    if output is None:
        return None
    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}", hint="give a file in a folder that exists")
    return path


def find_report(run: str | Path | None = None) -> Path:
    """The folder of a run: the one given, or the newest under ``runs/``.

    Raises:
        InputError: there is none.
    """
    if run is not None:
        if not (Path(run) / "report.json").is_file():
            raise InputError(f"{run} holds no report.json", hint="give a folder that `edgetune build` wrote")
        return Path(run)
    found = sorted(Path(RUNS).glob("*/report.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("there is no run under ./runs", hint="run `edgetune build`, or give the folder of a run")
    return found[-1].parent


def doctor(cache_dir: str | Path | None = None) -> dict[str, Any]:
    """The machine, the store's disk, the libraries, and for each target whether its engines run here."""
    store = _store(cache_dir)
    existing = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    disk = shutil.disk_usage(existing)
    return {
        "machine": local.describe(),
        "versions": pipeline.library_versions(),
        "store": {
            "path": str(store.root),
            "bytes": sum(entry.size_bytes for entry in store.entries()),
            "free_bytes": disk.free,
        },
        "targets": {target.name: why_not_here(target) for target in all_targets()},
    }


def open_store(cache_dir: str | Path | None = None) -> Store:
    """The store at ``cache_dir``, or the default one."""
    return _store(cache_dir)


def _plan(recipe: str | Path, target: str | Sequence[str] | None) -> tuple[Plan, Surroundings]:
    loaded = load_recipe(Path(recipe))
    names = (target,) if isinstance(target, str) else tuple(target or loaded.targets.names)
    targets: dict[str, Target] = {}
    for name in names:
        found = load_target(name)
        targets[found.name] = found
    surroundings = look_around(loaded, tuple(targets.values()))
    return make_plan(loaded, tuple(targets.values()), surroundings.facts), surroundings


def _store(cache_dir: str | Path | None) -> Store:
    return Store(Path(cache_dir).expanduser().absolute() if cache_dir else default_root())


def _run_folder(plan: Plan, run_dir: str | Path | None) -> Path:
    """Where this run's reports go; a folder with anything but an earlier run in it is refused."""
    if run_dir is None:
        stamp = dt.datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        folder, number = plan.recipe.base / RUNS / stamp, 1
        while folder.exists():
            number += 1
            folder = folder.with_name(f"{stamp}-{number}")
        return folder
    folder = Path(run_dir).absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--run-dir {folder} is a file", hint="give a new folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "report.json").exists():
        raise InputError(
            f"--run-dir {folder} holds files that no run of edgetune wrote; nothing was changed",
            hint="give a new or an empty folder",
        )
    return folder


def _publish(plan: Plan, outcomes: dict[str, pipeline.Outcome], folder: Path) -> None:
    """Copy bundles, and for targets that cannot run here the ONNX files, into the run's folder."""
    for target in plan.targets:
        measured, bundle = outcomes.get(f"measure:{target.name}"), outcomes.get(f"bundle:{target.name}")
        if measured is not None and measured.artifact is not None:
            (folder / "measurements").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(measured.artifact.path / "latency.json", folder / "measurements" / f"{target.name}.json")
        if bundle is not None and bundle.artifact is not None:
            (folder / "bundles").mkdir(parents=True, exist_ok=True)
            pipeline.publish_folder(bundle.artifact.path / "bundle", folder / "bundles" / target.name)
            shutil.copyfile(bundle.artifact.path / "bundle.tar", folder / "bundles" / f"{target.name}.tar")
            continue
        prepared = folder / "prepared" / target.name
        for candidate in plan.candidates:
            artifact = outcomes[candidate.onnx_step].artifact
            if candidate.target == target.name and artifact is not None:
                prepared.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.path / "model.onnx", prepared / f"{candidate.name}.onnx")
