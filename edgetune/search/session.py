"""``edgetune search`` from its first question to its last file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from edgetune.errors import InputError, Interrupted, TuneError
from edgetune.measure.energy import UNREADABLE, readable
from edgetune.plan.candidates import makes_int8
from edgetune.progress import Reporter
from edgetune.recipe import DEFAULT_NAME, load_recipe
from edgetune.records import Dimension, Recipe, Target
from edgetune.report.search import write_search
from edgetune.search import roles
from edgetune.search.outcome import chosen, describe
from edgetune.search.study import how, identity, make_sampler, open_study
from edgetune.search.trial import Baseline, attempt, make_baseline, make_here
from edgetune.search.values import changes, choose, wanted
from edgetune.search_space import search_space_of
from edgetune.store import Store
from edgetune.surroundings import Surroundings, look_around
from edgetune.target import recipe_target
from edgetune.tune import proxy, tuned_recipe
from edgetune.tune.session import Options, go_on
from edgetune.tune.storage import SCHEME, has_gone, open_storage, parse_address, resolve, told
from edgetune.tune.study import REASON, VALUES, counted
from edgetune.tune.worker import Search, work

FOLDER = "search"  # by the recipe: the database, search.json and search.html
STORAGE = f"{FOLDER}/search.db"
WRITTEN = "edgetune:searched"  # digests of the recipes that a search wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What is searched for: for which target, and among which values."""

    file: Path
    recipe: Recipe
    target: Target
    surroundings: Surroundings
    space: tuple[Dimension, ...]
    int8: bool


def search(path: Path, target: str | None, options: Options, store: Store, reporter: Reporter) -> dict[str, Any]:
    """Search until all trials are done or the time is up; returns what ``search.json`` holds, ``recipe``, ``files``.

    Raises:
        EdgetuneError: as of ``tune.worker.work``. InputError: a target that cannot be timed here; the searched recipe
            of someone else is in the way.
    """
    served = None if options.join is None else "{}://{}:{}".format(SCHEME, *parse_address(options.join))
    role = options.work
    scope = _scope(path, target, role)
    roles.check_role(role, scope.recipe, scope.space, store)
    store = replace(store, leaves=roles.LEAVES[role])
    url = served or resolve(options.storage or scope.recipe.search.storage, scope.recipe.base, STORAGE)
    storage = open_storage(url)
    study = _study(storage, scope, role, join=options.join is not None)
    if role == roles.TRAIN:
        scope = replace(scope, surroundings=roles.device_of(study, scope.surroundings))
    if not options.force:
        tuned_recipe.refuse_to_overwrite(_destination(scope.file), study.user_attrs.get(WRITTEN, ()))
    found = _search(scope, study, store, reporter, options, go_on("search", path, options, target))
    baseline = _baseline(found, scope, role)
    make = roles.make_elsewhere if role == roles.TRAIN else make_here
    found = replace(found, attempt=partial(attempt, baseline, scope.int8, make))
    spec = scope.recipe.search
    names = ", ".join(dimension.name for dimension in scope.space)
    reporter.say(f"{spec.trials} trials, {_left(found)} to run; searched: {names}")
    hours = spec.timeout_hours
    deadline = None if hours is None else time.monotonic() + 3600 * hours
    try:
        if role == roles.MEASURE:
            done = roles.measure_for_others(found, baseline, scope.int8, deadline)
        else:
            done = work(found, deadline)
    except (KeyboardInterrupt, Interrupted):
        _write_what_there_is(found, scope, baseline, url)
        raise Interrupted("stopped; finished trials and steps are kept", hint=f"go on with: {found.go_on}") from None
    if not done and not any(trial.state is TrialState.COMPLETE for trial in found.ask(study.get_trials)):
        raise TuneError("the time was up before a trial came to its end", hint="give it more `[search] timeout_hours`")
    return _finish(found, scope, baseline, url, force=options.force)


def _search(scope: _Scope, study: Any, store: Store, reporter: Reporter, options: Options, again: str) -> Search:
    """What a worker needs, but for how it tries: that needs the baseline."""

    def not_yet(search: Search, trial: Any, values: Any) -> Any:
        raise AssertionError("the baseline comes first")

    return Search(
        recipe=scope.recipe,
        study=study,
        store=store,
        surroundings=scope.surroundings,
        reporter=reporter,
        patience=options.patience,
        go_on=again,
        trials=scope.recipe.search.trials,
        lost_after=scope.recipe.search.lost_after_seconds,
        sampler=partial(make_sampler, scope.recipe),
        choose=lambda trial: choose(trial, scope.space, scope.recipe, int8=scope.int8),
        attempt=not_yet,
    )


def _baseline(found: Search, scope: _Scope, role: str) -> Baseline:
    """The recipe's float engine: made here, or told by who measures."""
    if role == roles.TRAIN:
        return roles.baseline_for_training(found, scope.target)
    baseline = make_baseline(scope.recipe, scope.target, found.store, scope.surroundings, found.reporter)
    if role == roles.MEASURE:
        found.ask(lambda: roles.announce_baseline(found.study, baseline))
    return baseline


def serve(path: Path, target: str | None, options: Options, address: str, announce: Callable[[str], None]) -> None:
    """Let workers of other machines join the search of a recipe, until Ctrl-C.

    Raises:
        InputError: it cannot be listened at ``address`` (HOST:PORT). TuneError: the storage cannot be opened.
    """
    host, port = parse_address(address)
    scope = _scope(path, target, roles.ALL)
    storage = open_storage(resolve(options.storage or scope.recipe.search.storage, scope.recipe.base, STORAGE))
    _study(storage, scope, roles.ALL, join=False)
    proxy.serve(storage, host, port, announce)


def _scope(path: Path, name: str | None, role: str) -> _Scope:
    file = path / DEFAULT_NAME if path.is_dir() else path
    recipe = load_recipe(file)
    target = recipe_target(recipe, name or recipe.targets.names[0])
    surroundings = look_around(recipe, (target,))
    if role == roles.TRAIN:
        surroundings = roles.as_if_there(surroundings, target.name)
    if (why := surroundings.facts.unavailable[target.name]) is not None:
        raise InputError(
            f"engines of {target.name} cannot be timed here, and a search is by their latency: {why}",
            hint="run it on the device itself, train for it with --work train, or give another --target",
        )
    if recipe.search.energy and role != roles.TRAIN and not readable():
        raise InputError(
            f"`[search] energy` makes energy an objective, which is {UNREADABLE}",
            hint="run it as a user who may read /sys/class/powercap, on the device itself, or leave `energy` out",
        )
    int8 = makes_int8(recipe, target)
    space = search_space_of(recipe, int8=int8)
    return _Scope(file=file, recipe=recipe, target=target, surroundings=surroundings, space=space, int8=int8)


def _study(storage: Any, scope: _Scope, role: str, *, join: bool) -> Any:
    parts = identity(scope.recipe, scope.target, scope.surroundings.facts, scope.space)
    if role == roles.TRAIN:
        return roles.join_training(storage, parts, how(scope.recipe))
    study = open_study(storage, scope.recipe, scope.space, parts, int8=scope.int8, join=join)
    if role == roles.MEASURE:
        roles.announce_device(study, scope.surroundings)
    return study


def _left(search: Search) -> int:
    trials = search.ask(lambda: search.study.get_trials(deepcopy=False))
    return max(0, search.trials - sum(trial.state.is_finished() for trial in counted(trials)))


def _destination(file: Path) -> Path:
    return tuned_recipe.name_for(file, "searched")


def _text(scope: _Scope, study: str, best: FrozenTrial) -> str:
    """The recipe with what the engine of ``best`` was made with."""
    made = wanted(scope.recipe, best.user_attrs[VALUES], int8=scope.int8).recipe
    note = f"Written by `edgetune search`: {scope.file.name} with the values of trial {best.number}, chosen by {study}."
    original = scope.file.read_text(encoding="utf-8-sig")
    changed = changes(scope.recipe, made)
    return tuned_recipe.tuned_text(original, changed, note, made, _destination(scope.file))


def _describe(search: Search, scope: _Scope, baseline: Baseline, url: str) -> dict[str, Any]:
    return describe(search.study, scope.recipe, baseline, scope.space, told(url), int8=scope.int8)


def _finish(search: Search, scope: _Scope, baseline: Baseline, url: str, *, force: bool) -> dict[str, Any]:
    """Write the report and, where an engine was chosen, its recipe."""
    study = search.study
    data = search.ask(lambda: _describe(search, scope, baseline, url))
    files = write_search(data, scope.recipe.base / FOLDER)
    trials: Sequence[FrozenTrial] = counted(search.ask(lambda: study.get_trials(deepcopy=False)))
    if not any(trial.state is TrialState.COMPLETE for trial in trials):
        raise _nothing_finished(trials, scope.recipe, files[0])
    best, _ = chosen(trials, scope.recipe, baseline)
    result = {**data, "recipe": None, "files": [str(path) for path in files]}
    if best is None:
        return result
    destination, text = _destination(scope.file), _text(scope, study.study_name, best)
    known = {*study.user_attrs.get(WRITTEN, ()), tuned_recipe.digest(text)}
    if not force:
        tuned_recipe.refuse_to_overwrite(destination, known)
    tuned_recipe.write(destination, text)
    search.ask(lambda: study.set_user_attr(WRITTEN, sorted(known)))
    return {**result, "recipe": str(destination)}


def _nothing_finished(trials: Sequence[FrozenTrial], recipe: Recipe, file: Path) -> TuneError:
    """That no trial has an engine; of those that were given up, what decided it and what may be raised."""
    why = next((f": {trial.user_attrs[REASON]}" for trial in trials if REASON in trial.user_attrs), "")
    given_up = sum(trial.state is TrialState.PRUNED for trial in trials)
    if not given_up:
        return TuneError(f"no trial came to an end{why}", hint=f"see {file}; give other values to [search.space]")
    told = "every trial was" if given_up == len(trials) else f"no trial was finished, {given_up} of {len(trials)} were"
    limits = f"`[search] give_up_points` ({recipe.search.give_up_points:g}) or `[prune] recovery_epochs`"
    return TuneError(
        f"{told} given up{why}",
        hint=f"see {file}; raise {limits} ({recipe.prune.recovery_epochs}), or give gentler values to [search.space]",
    )


def _write_what_there_is(search: Search, scope: _Scope, baseline: Baseline, url: str) -> None:
    try:
        write_search(_describe(search, scope, baseline, url), scope.recipe.base / FOLDER)
    except Exception as error:
        if not has_gone(error):
            raise
