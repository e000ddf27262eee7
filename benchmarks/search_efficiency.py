"""How much of the Pareto front `edgetune search` finds for its training, beside random search and a grid.

    python benchmarks/search_efficiency.py --weights mobilenet_v2.safetensors --images clothing10.tar --folder W
    python benchmarks/search_efficiency.py --quick --folder W     # handwritten digits, minutes on a CPU

First every engine of a discrete space is made once, by the steps of real trials, and judged and timed beside the
float engine: a table (as in NAS-Bench-101, Ying et al. 2019). Then each method searches the table from five seeds,
until it has spent the same number of trained epochs: a network that was trained before in that search costs nothing
more, as in edgetune's store. What is compared is the hypervolume of accuracy and latency at equal epochs, as a share
of the whole table's. Killed and run again with the same --folder it goes on; the table is saved with the result.
"""

import argparse
import itertools
import json
import random
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from common import save
from optuna.study import StudyDirection
from optuna.trial import TrialState

from edgetune.demo.recipe import write_demo
from edgetune.plan.candidates import makes_int8
from edgetune.progress import Console
from edgetune.recipe import load_recipe
from edgetune.records import Dimension, Recipe
from edgetune.search.outcome import reference_point, to_minimise
from edgetune.search.pareto import hypervolume
from edgetune.search.study import make_sampler
from edgetune.search.trial import Baseline, broken, make_baseline, make_engine, objectives
from edgetune.search.values import choose, first_values, wanted
from edgetune.search_space import search_space_of
from edgetune.store import Store
from edgetune.surroundings import look_around
from edgetune.target import recipe_target

SEEDS = range(5)
SHARES = (0.1, 0.25, 0.5)  # of the table's trained epochs, at which methods are compared

CLOTHING = """
[model]
name = "torchvision/mobilenet_v2"
weights = "WEIGHTS"
[data]
path = "clothing10"
image_size = 64
[finetune]
epochs = 6
[prune]
ratio = [0.2]
recovery_epochs = 2
steps = 1
[quantize]
float_layers = "none"
[budget]
max_accuracy_drop = 3.0
[bench]
min_runs = 80
min_seconds = 0.3
[search]
give_up_points = 100.0
[search.space]
prune.ratio = [0.0, 0.1, 0.2, 0.3, 0.45, 0.6]
prune.recovery_epochs = [1, 3]
prune.criterion = ["fisher", "magnitude"]
quantize.mode = ["none", "ptq"]
"""
DIGITS = """
[search]
give_up_points = 100.0
[search.space]
prune.ratio = [0.0, 0.2, 0.4, 0.6]
prune.recovery_epochs = [1, 3]
prune.criterion = ["fisher", "magnitude"]
quantize.mode = ["none", "ptq"]
"""
Values = Mapping[str, Any]
Key = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Every engine of the space, by the values that it depends on."""

    recipe: Recipe
    baseline: Baseline
    space: tuple[Dimension, ...]
    int8: bool
    rows: Mapping[Key, dict[str, Any]]

    def key(self, values: Values) -> Key:
        """What tells engines apart."""
        return tuple(sorted((name, value) for name, value in values.items()))

    def epochs(self, values: Values, trained: set[Key]) -> int:
        """Epochs that a trial of ``values`` trains, given the networks that its search has; notes the network."""
        network = self.key({name: value for name, value in values.items() if name.startswith("prune.")})
        engine = wanted(self.recipe, values, int8=self.int8)
        if network in trained or not engine.pruning.asked:
            return 0
        trained.add(network)
        return engine.recipe.prune.recovery_epochs

    def points(self, values: Values) -> tuple[float, ...]:
        """Share of errors and latency ratio."""
        return to_minimise(objectives(self.rows[self.key(values)], self.baseline, self.recipe.search))


class Drawn(optuna.trial.FixedTrial):
    """Values that were fixed beforehand; ``choose`` takes of them what an engine depends on."""


def every(space: tuple[Dimension, ...], recipe: Recipe, *, int8: bool) -> Iterator[dict[str, Any]]:
    """The values of every engine of a space of choices, each engine once."""
    seen = set()
    for combination in itertools.product(*(dimension.choices for dimension in space)):
        given = dict(zip((dimension.name for dimension in space), combination, strict=True))
        values = choose(Drawn(given), space, recipe, int8=int8)  # type: ignore[arg-type]
        key = tuple(sorted(values.items()))
        if key not in seen:
            seen.add(key)
            yield values


def make_table(recipe: Recipe, folder: Path) -> Table:
    """Build and time all engines; finished ones are kept in ``folder``."""
    target = recipe_target(recipe, "x86-cpu")
    around, store, reporter = look_around(recipe, (target,)), Store(folder / "store"), Console()
    int8 = makes_int8(recipe, target)
    space = search_space_of(recipe, int8=int8)
    baseline = make_baseline(recipe, target, store, around, reporter)
    rows = {}
    wishes = list(every(space, recipe, int8=int8))
    for number, values in enumerate(wishes, start=1):
        started = time.monotonic()
        engine = wanted(recipe, values, int8=int8)
        row = make_engine(baseline, engine, recipe, store, around, reporter)
        rows[tuple(sorted(values.items()))] = row
        print(
            f"{number}/{len(wishes)} {values}: {row['accuracy']:.3f}, {row['speedup']['value']:.2f}x "
            f"({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    return Table(recipe=recipe, baseline=baseline, space=space, int8=int8, rows=rows)


def tpe(table: Table, seed: int) -> Iterator[dict[str, Any]]:
    """`edgetune search` as it is: the recipe's own engines first, then its sampler with the budget's constraints."""
    recipe = replace(table.recipe, search=replace(table.recipe.search, seed=seed))
    study = optuna.create_study(directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    for first in first_values(recipe, table.space, int8=table.int8):
        study.enqueue_trial(first)
    while True:
        trial = study.ask()
        study.sampler = make_sampler(recipe, trial.number)
        values = choose(trial, table.space, recipe, int8=table.int8)
        row = table.rows[table.key(values)]
        for name, value in broken(row, table.baseline.accuracy, recipe).items():
            trial.set_constraint(name, value)
        study.tell(trial, objectives(row, table.baseline, table.recipe.search), state=TrialState.COMPLETE)
        yield values


def at_random(table: Table, seed: int) -> Iterator[dict[str, Any]]:
    """Random search: each value drawn evenly."""
    draw = random.Random(seed)
    while True:
        given = {dimension.name: draw.choice(dimension.choices) for dimension in table.space}
        yield choose(Drawn(given), table.space, table.recipe, int8=table.int8)  # type: ignore[arg-type]


def grid(table: Table, seed: int) -> Iterator[dict[str, Any]]:
    """A grid, one axis after the other; which axis turns fastest, and in which order its values come, is drawn."""
    draw = random.Random(seed)
    axes = [replace(d, choices=tuple(draw.sample(d.choices, len(d.choices)))) for d in table.space]
    draw.shuffle(axes)
    for combination in itertools.product(*(axis.choices for axis in axes)):
        given = dict(zip((axis.name for axis in axes), combination, strict=True))
        yield choose(Drawn(given), table.space, table.recipe, int8=table.int8)  # type: ignore[arg-type]


METHODS: dict[str, Callable[[Table, int], Iterator[dict[str, Any]]]] = {
    "edgetune search (tpe)": tpe,
    "random": at_random,
    "grid": grid,
}


def curve(table: Table, method: Iterator[dict[str, Any]], epochs: int, most_trials: int) -> list[dict[str, Any]]:
    """(trained epochs, trials, hypervolume) after each trial, until ``epochs`` are spent."""
    reference = reference_point(table.baseline, table.recipe.search)
    trained: set[Key] = set()
    spent, points, rows = 0, [], []
    for values in itertools.islice(method, most_trials):
        cost = table.epochs(values, trained)
        if spent + cost > epochs:
            break
        spent += cost
        points.append(table.points(values))
        rows.append({"epochs": spent, "trials": len(points), "hypervolume": hypervolume(points, reference)})
    return rows


def compare(table: Table) -> dict[str, Any]:
    """Hypervolume as a share of the table's, for each method, at each share of the table's epochs."""
    reference = reference_point(table.baseline, table.recipe.search)
    trained: set[Key] = set()
    total = sum(table.epochs(dict(key), trained) for key in table.rows)
    whole = hypervolume([table.points(dict(key)) for key in table.rows], reference)
    found: dict[str, Any] = {"engines": len(table.rows), "epochs": total, "hypervolume": whole, "methods": {}}
    for name, method in METHODS.items():
        by_share = {}
        for share in SHARES:
            budget = round(share * total)
            curves = [curve(table, method(table, seed), budget, 4 * len(table.rows)) for seed in SEEDS]
            reached = [rows[-1]["hypervolume"] / whole if rows else 0.0 for rows in curves]
            by_share[str(share)] = {
                "epochs": budget,
                "trials": [len(rows) for rows in curves],
                "reached": reached,
                "mean": statistics.mean(reached),
                "lowest": min(reached),
            }
        found["methods"][name] = by_share
    return found


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Unpack the data and write the recipe into the folder."""
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.quick:
        path = write_demo(args.folder)
        text = path.read_text().partition("\n[search]")[0]
        text = text.replace("target_speedup = [1.6]", "ratio = [0.2]\nsteps = 1\n#")
        text = text.replace('mode = "auto"', 'float_layers = "none"')
        path.write_text(text + DIGITS)
        return load_recipe(path)
    if not (args.folder / "clothing10").exists():
        with tarfile.open(args.images) as archive:
            archive.extractall(args.folder, filter="data")
    path = args.folder / "edgetune.toml"
    path.write_text(CLOTHING.replace("WEIGHTS", str(args.weights.absolute())))
    return load_recipe(path)


def main() -> None:
    """Make the table, search it, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=Path, help="clothing10.tar")
    parser.add_argument("--folder", type=Path, required=True, help="work here; what is finished is found again")
    parser.add_argument("--quick", action="store_true", help="handwritten digits instead of clothing10")
    args = parser.parse_args()
    if not args.quick and not (args.weights and args.images):
        parser.error("give --weights and --images, or --quick")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recipe = recipe_of(args)
    table = make_table(recipe, args.folder)
    result = compare(table)
    print(f"{result['engines']} engines, {result['epochs']} trained epochs; share of their hypervolume:")
    for name, shares in result["methods"].items():
        told = ", ".join(f"{s['epochs']} epochs {s['mean']:.3f} ({s['lowest']:.3f})" for s in shares.values())
        print(f"  {name:22} {told}   mean (lowest of {len(SEEDS)} seeds)")
    rows = [{"values": dict(key), **row} for key, row in table.rows.items()]
    name = "search_efficiency_digits" if args.quick else "search_efficiency"
    recipe_text = CLOTHING if not args.quick else DIGITS
    save(name, {"recipe": recipe_text, "float_accuracy": table.baseline.accuracy, **result, "table": rows})
    (args.folder / "table.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
