"""From a recipe to engines, and what would be done."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgetune import pipeline
from edgetune.api.common import connected, open_store
from edgetune.api.runs import leave, publish, run_folder
from edgetune.controller.ladder import possible_plan
from edgetune.devices import local
from edgetune.devices.protocol import Device
from edgetune.plan import make_finetune_plan, make_plan, make_timing_plan
from edgetune.private import cleaned
from edgetune.progress import Quiet, Reporter
from edgetune.recipe import DEFAULT_NAME, load_recipe
from edgetune.records import Plan, Recipe, Report, Target
from edgetune.report.assemble import assemble
from edgetune.report.write import write_reports
from edgetune.store import Store, storage_errors
from edgetune.surroundings import Surroundings, look_around
from edgetune.target import recipe_target

TRAINED = ("finetune", "fold")  # steps that fine-tune


def build(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    run_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Report:
    """Fine-tune, compress, compile, measure and bundle, as the recipe says.

    Args:
        recipe: path of an ``edgetune.toml``, or of the folder it lies in.
        target: one or more target names; None: those of the recipe.
        run_dir: where reports and bundles go; None: ``runs/<date and time>`` beside the recipe.
        cache_dir: the store of finished steps; None: see ``edgetune.store.default_root``.
        device: ``ssh://[user@]host[:port]`` of one or more devices; each target that one of them serves is compiled,
            evaluated and measured there.

    Raises:
        EdgetuneError: with what is wrong and what to do; finished steps are kept.
    """
    from edgetune.compare.gallery import with_samples  # the other commands do without
    from edgetune.controller import climb  # the other commands do without its statistics

    reporter = reporter or Quiet()
    store = open_store(cache_dir)
    with connected(device) as devices:
        loaded, targets, surroundings = _looked_around(recipe, target, devices)
        check_network(loaded, surroundings, store)
        folder = run_folder(loaded, run_dir)
        try:
            climbed = climb.build(loaded, targets, surroundings, store, reporter)
        except BaseException:
            leave(folder)
            raise
    made, outcomes = climbed.plan, climbed.outcomes
    data = assemble(
        made,
        {name: outcome.artifact for name, outcome in outcomes.items() if outcome.artifact is not None},
        {name: outcome.reason for name, outcome in outcomes.items() if outcome.reason is not None},
        pipeline.tell(climbed.done, store),
        {"versions": pipeline.library_versions(), "machine": local.describe()},
        recipe_name=Path(recipe).name if Path(recipe).suffix == ".toml" else DEFAULT_NAME,
        run=_shown(folder, made.recipe.base),
        journals=climbed.journals,
        hints={name: outcome.hint for name, outcome in outcomes.items() if outcome.hint is not None},
    )
    data["run"] = folder.name
    with storage_errors(folder, "--run-dir"):
        publish(made, outcomes, folder)
        checked = outcomes["check-data"].artifact
        assert checked is not None  # there is no build without it
        data = cleaned(with_samples(data, folder, checked.path, surroundings.data))
        write_reports(data, folder)
    return Report(data=data, run_dir=folder)


def _shown(folder: Path, base: Path) -> str:
    """A run's folder as seen from its recipe; of one elsewhere only the name, which tells no one's folders."""
    return str(folder.relative_to(base)) if folder.is_relative_to(base) else folder.name


def plan(
    recipe: str | Path = "edgetune.toml",
    *,
    target: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    device: str | Sequence[str] = (),
    timed: bool = False,
    reporter: Reporter | None = None,
) -> tuple[Plan, list[pipeline.Status]]:
    """What ``build`` would do: the plan, and for each step whether it is cached and what it is likely to cost.

    Where the controller chooses, the plan holds all that it may make; it ends when nothing better is to be expected.

    Args:
        timed: look at the data and time a few batches, to tell what fine-tuning takes that was not done yet.

    Raises:
        EdgetuneError: with what is wrong and what to do; also for a network that there is not, or is not trained so.
    """
    store = open_store(cache_dir)
    with connected(device) as devices:
        loaded, targets, surroundings = _looked_around(recipe, target, devices)
    check_network(loaded, surroundings, store)
    from edgetune.controller import climb  # the other commands do without its statistics

    rungs = climb.foresee(loaded, targets, surroundings.facts, store)
    made, needed_by = possible_plan(loaded, targets, surroundings.facts, rungs)
    statuses = pipeline.preview(made, store)
    if timed and any(status.step.name in TRAINED and not status.cached for status in statuses):
        timing = make_timing_plan(made.recipe, surroundings.facts)
        artifact = pipeline.run(timing, store, surroundings, reporter or Quiet())["time-training"].artifact
        assert artifact is not None  # every step of a plan without candidates is needed
        seconds = json.loads((artifact.path / "timing.json").read_text(encoding="utf-8"))["seconds"]
        statuses = [_timed(status, seconds) for status in pipeline.preview(made, store)]
    return made, [replace(status, rung=needed_by.get(status.step.id)) for status in statuses]


def _timed(status: pipeline.Status, seconds: float) -> pipeline.Status:
    """With what timed batches say of the training of the whole network; a fold has about as much to learn from."""
    if status.cached or status.step.name not in TRAINED:
        return status
    return replace(status, seconds=seconds, same_data=True, scaled=False, timed=True)


def emit_cpp(bundle: str | Path, folder: str | Path) -> None:
    """Write a CMake project that runs ``bundle`` (a folder or a ``.tar``) into ``folder``, which must be new.

    Raises:
        BundleError: damaged, altered, or of a kind the C++ runtime does not run. InputError: the folder is in use.
    """
    from edgetune.bundle import emit_cpp as emitter  # the other commands do without it

    emitter.emit_cpp(Path(bundle), Path(folder))


def make_build_plan(
    recipe: str | Path, target: str | Sequence[str] | None, devices: Sequence[Device] = ()
) -> tuple[Plan, Surroundings]:
    """The plan of the recipe's grid, whether or not a build would leave the choice to the controller."""
    loaded, targets, surroundings = _looked_around(recipe, target, devices)
    return make_plan(loaded, targets, surroundings.facts), surroundings


def check_network(recipe: Recipe, surroundings: Surroundings, store: Store) -> None:
    """Refuse now what a step would refuse later; of a network in the store that is only modules it does not have."""
    named = recipe.prune.protect or recipe.prune.layers or recipe.quantize.keep_float
    if named or "finetune" not in pipeline.recall(make_finetune_plan(recipe, surroundings.facts), store):
        from edgetune.finetune.foresee import check_before_training  # what is in the store does without torch

        check_before_training(recipe)


def _looked_around(
    recipe: str | Path, target: str | Sequence[str] | None, devices: Sequence[Device]
) -> tuple[Recipe, tuple[Target, ...], Surroundings]:
    loaded = load_recipe(Path(recipe))
    names = (target,) if isinstance(target, str) else tuple(target or loaded.targets.names)
    targets: dict[str, Target] = {}
    for name in names:
        found = recipe_target(loaded, name)
        targets[found.name] = found
    surroundings = look_around(loaded, tuple(targets.values()), devices)
    return loaded, surroundings.targets, surroundings
