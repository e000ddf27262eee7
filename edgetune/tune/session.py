"""``edgetune tune`` from its first question to its last file."""

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from edgetune import pipeline
from edgetune.errors import Interrupted, RecipeError, TuneError
from edgetune.plan import make_finetune_plan
from edgetune.progress import Reporter
from edgetune.recipe import DEFAULT_NAME, load_recipe
from edgetune.records import Recipe
from edgetune.report.tune import write_tune
from edgetune.search_space import space_of
from edgetune.store import Store
from edgetune.surroundings import Surroundings, look_around
from edgetune.tune import proxy, tuned_recipe
from edgetune.tune.outcome import describe
from edgetune.tune.storage import SCHEME, has_gone, open_storage, parse_address, resolve, shown, told
from edgetune.tune.study import REASON, VALUES, best_of, choose, counted, identity, make_sampler, open_study
from edgetune.tune.training import attempt
from edgetune.tune.worker import Search, work

FOLDER = "tune"  # by the recipe: the database, tune.json and tune.html
COUNT_FOR_FEATURES = ("label_smoothing", "imbalance")  # of [finetune], with the strategy feature-extraction
TUNED = "edgetune:tuned"  # digests of the recipes that a search wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says beside the recipe."""

    storage: str | None = None  # None: the recipe's
    join: str | None = None  # grpc://HOST:PORT of a search that is served
    force: bool = False  # overwrite the tuned recipe, whatever it holds
    patience: float = 300.0  # seconds to wait for a storage that has gone
    work: str = "all"  # of a search: all | train | measure (``search.roles``)


def tune(path: Path, options: Options, store: Store, reporter: Reporter) -> dict[str, Any]:
    """Search until all trials are done or the time is up; returns what ``tune.json`` holds, and ``files``.

    Raises:
        EdgetuneError: as of ``worker.work``. InputError: the tuned recipe of someone else is in the way.
    """
    file = path / DEFAULT_NAME if path.is_dir() else path
    served = None if options.join is None else "{}://{}:{}".format(SCHEME, *parse_address(options.join))
    recipe, surroundings = _load(file)
    url = served or resolve(options.storage or recipe.tune.storage, recipe.base)
    validation = _validation(recipe, surroundings, store, reporter)
    storage = open_storage(url)
    study = open_study(storage, recipe, identity(recipe, surroundings.facts), join=options.join is not None)
    search = Search(
        recipe=recipe,
        study=study,
        store=store,
        surroundings=surroundings,
        reporter=reporter,
        patience=options.patience,
        go_on=go_on("tune", path, options),
        trials=recipe.tune.trials,
        lost_after=recipe.tune.lost_after_seconds,
        sampler=lambda number: make_sampler(recipe.tune.seed, number),
        choose=lambda trial: choose(trial, space_of(recipe), recipe),
        attempt=attempt,
    )
    if not options.force:
        _check_way(file, search)
    reporter.say(_cost(search))
    hours = recipe.tune.timeout_hours
    try:
        done = work(search, None if hours is None else time.monotonic() + 3600 * hours)
    except (KeyboardInterrupt, Interrupted):
        _write_what_there_is(search, validation, url)
        raise Interrupted(
            "stopped; finished trials are kept, and the one in training goes on from its last epoch",
            hint=f"go on with: {search.go_on}",
        ) from None
    if not done and search.ask(lambda: _best(study)) is None:
        raise TuneError("the time was up before a trial came to its end", hint="give it more `[tune] timeout_hours`")
    return _finish(search, file, validation, url, options.force)


def serve(path: Path, options: Options, address: str, announce: Callable[[str], None]) -> None:
    """Let workers of other machines join the search of a recipe, until Ctrl-C.

    Args:
        address: HOST:PORT to listen at; port 0: any that is free.
        announce: told the URL to join.

    Raises:
        InputError: it cannot be listened there. TuneError: the storage cannot be opened.
    """
    host, port = parse_address(address)
    recipe, surroundings = _load(path)
    storage = open_storage(resolve(options.storage or recipe.tune.storage, recipe.base))
    open_study(storage, recipe, identity(recipe, surroundings.facts), join=False)
    proxy.serve(storage, host, port, announce)


def _load(path: Path) -> tuple[Recipe, Surroundings]:
    recipe = load_recipe(path)
    space = space_of(recipe)
    strategies = next((d.choices for d in space if d.name == "strategy"), (recipe.finetune.strategy,))
    if set(strategies) == {"feature-extraction"} and not any(d.name in COUNT_FOR_FEATURES for d in space):
        raise RecipeError(
            "feature-extraction has neither epochs nor a learning rate: there is nothing to search",
            hint=f"give [tune.space] {' or '.join(COUNT_FOR_FEATURES)}, or more strategies, such as "
            'strategy = ["feature-extraction", "full"]',
        )
    return recipe, look_around(recipe, ())


def _validation(recipe: Recipe, surroundings: Surroundings, store: Store, reporter: Reporter) -> list[int]:
    """How many samples of each class judge a trial; what all trials need is made here, before any is begun."""
    whole = make_finetune_plan(recipe, surroundings.facts)
    outcomes = pipeline.run(replace(whole, steps=whole.steps[:-1]), store, surroundings, reporter)
    artifact = outcomes["check-data"].artifact
    assert artifact is not None  # every step of a plan without candidates is needed
    counts = json.loads((artifact.path / "dataset.json").read_text(encoding="utf-8"))["counts"]["val"]
    return list(counts.values())


def _cost(search: Search) -> str:
    """What is left to do, and what it is likely to take."""
    trials = search.ask(lambda: search.study.get_trials(deepcopy=False))
    wanted = search.recipe.tune.trials
    left = max(0, wanted - sum(trial.state.is_finished() for trial in counted(trials)))
    text = f"{wanted} trials, {left} to run"
    status = pipeline.preview(make_finetune_plan(search.recipe, search.surroundings.facts), search.store)[-1]
    if left and status.seconds is not None and status.same_data is not False:
        took = "the recipe's own would take" if status.scaled else "one of this network and data took"
        text += f", about {status.seconds * left:.0f} s for one worker ({took} {status.seconds:.1f} s)"
    return f"{text}; searched: {', '.join(dimension.name for dimension in space_of(search.recipe))}"


def go_on(command: str, path: Path, options: Options, target: str | None = None) -> str:
    """The words to go on with a search that was stopped; without a password."""
    words = ["edgetune", command, *([str(path)] if path != Path(DEFAULT_NAME) else [])]
    words += ["--target", target] if target else []
    words += (
        ["--storage", shown(options.storage) if "://" in options.storage else options.storage]
        if (options.storage)
        else []
    )
    words += ["--join", options.join] if options.join else []
    words += ["--work", options.work] if options.work != "all" else []
    return shlex.join(words)


def _best(study: optuna.Study) -> FrozenTrial | None:
    return best_of(counted(study.get_trials(deepcopy=False)))


def _tuned_text(search: Search, file: Path, best: FrozenTrial) -> str:
    values = best.user_attrs[VALUES]
    study = search.study.study_name
    note = f"Written by `edgetune tune`: {file.name} with the values of trial {best.number}, the best of {study}."
    wanted = replace(search.recipe.finetune, **values)
    changed = {("finetune", k): value for k, value in values.items() if getattr(search.recipe.finetune, k) != value}
    original = file.read_text(encoding="utf-8-sig")
    return tuned_recipe.tuned_text(
        original, changed, note, replace(search.recipe, finetune=wanted), tuned_recipe.name_for(file)
    )


def _check_way(file: Path, search: Search) -> None:
    """Refuse now what would be refused at the end."""
    known = set(search.study.user_attrs.get(TUNED, ()))
    if (best := search.ask(lambda: _best(search.study))) is not None:
        known.add(tuned_recipe.digest(_tuned_text(search, file, best)))
    tuned_recipe.refuse_to_overwrite(tuned_recipe.name_for(file), known)


def _finish(search: Search, file: Path, validation: list[int], url: str, force: bool) -> dict[str, Any]:
    """Write the report and the recipe that won."""
    study = search.study
    data = search.ask(lambda: describe(study, search.recipe, validation, told(url)))
    files = write_tune(data, search.recipe.base / FOLDER)
    best = search.ask(lambda: _best(study))
    if best is None:
        failed = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.FAIL and REASON in t.user_attrs]
        why = f": {failed[0].user_attrs[REASON]}" if failed else ""
        raise TuneError(f"no trial came to an end{why}", hint=f"see {files[0]}; give other values to [tune.space]")
    destination, text = tuned_recipe.name_for(file), _tuned_text(search, file, best)
    if not force:
        known = {*study.user_attrs.get(TUNED, ()), tuned_recipe.digest(text)}
        tuned_recipe.refuse_to_overwrite(destination, known)
    tuned_recipe.write(destination, text)
    written = list(dict.fromkeys([*study.user_attrs.get(TUNED, ()), tuned_recipe.digest(text)]))
    search.ask(lambda: study.set_user_attr(TUNED, written))
    return {**data, "recipe": str(destination), "files": [str(path) for path in files]}


def _write_what_there_is(search: Search, validation: list[int], url: str) -> None:
    try:
        write_tune(describe(search.study, search.recipe, validation, told(url)), search.recipe.base / FOLDER)
    except Exception as error:
        if not has_gone(error):
            raise
