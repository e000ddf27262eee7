"""Commands around fine-tuning and quantization."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import cache_option, command_options, emit, example, recipe_argument
from edgetune.errors import InputError
from edgetune.recipe import DEFAULT_NAME

NOTHING_FITS = 3  # exit code: no engine passes the gates of [budget]


@cli.command("lr-find", epilog=example("edgetune lr-find --steps 200"))
@recipe_argument
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the curve [default: ./lr_find].")
@click.option("--lowest", type=float, default=1e-6, show_default=True, help="The first rate.")
@click.option("--highest", type=float, default=1.0, show_default=True, help="The last rate.")
@click.option("--steps", type=int, default=100, show_default=True, help="Batches to try rates with.")
@cache_option
@command_options
def lr_find(
    recipe: Path,
    output: Path | None,
    lowest: float,
    highest: float,
    steps: int,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Try growing learning rates on RECIPE's network and data; suggest one, write the curve as CSV and JSON."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.lr_find(
        recipe,
        output=output,
        lowest=lowest,
        highest=highest,
        steps=steps,
        cache_dir=cache_dir,
        reporter=Console(),
    )
    emit(found, as_json, lambda: lr_find_text(found))


def lr_find_text(found: dict[str, Any]) -> str:
    """The suggestion, a curve of ten points, and where the whole one is."""
    rates, smoothed = found["rates"], found["smoothed"]
    chosen = sorted({round(i * (len(rates) - 1) / 9) for i in range(10)})
    low, high = min(smoothed), max(smoothed)
    lines = ["rate        loss (running mean)"]
    for i in chosen:
        bar = "#" * round(40 * (smoothed[i] - low) / max(high - low, 1e-9))
        lines.append(f"{rates[i]:<10.1e}{smoothed[i]:8.3f}  {bar}".rstrip())
    if not found["diverged"]:
        lines.append("no rate was too high: try again with a larger --highest")
    lines += [f"suggested: [finetune] learning_rate = {found['suggestion']:g}", *found["files"]]
    return "\n".join(lines)


@cli.command(epilog=example("edgetune diagnose --target arm-cpu"))
@recipe_argument
@click.option("--target", "-t", metavar="NAME", help="Whose 8-bit scheme [default: the recipe's first].")
@click.option("--samples", type=int, default=256, show_default=True, help="Validation samples to look at.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the page [default: ./diagnosis].")
@cache_option
@command_options
def diagnose(
    recipe: Path, target: str | None, samples: int, output: Path | None, cache_dir: Path | None, as_json: bool
) -> None:
    """Find where RECIPE's network loses accuracy to 8 bits, why, and what helps."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.diagnose(recipe, target=target, samples=samples, output=output, cache_dir=cache_dir, reporter=Console())
    from edgetune.report.diagnosis import diagnosis_text

    emit(found, as_json, lambda: "\n".join([diagnosis_text(found), *found["files"]]))


@cli.command(epilog=example("edgetune tune"))
@recipe_argument
@click.option("--storage", metavar="URL", help="Database, or an SQLite file [default: tune/search.db by RECIPE].")
@click.option("--serve", metavar="HOST:PORT", help="Let workers join through this address; trains nothing itself.")
@click.option("--join", metavar="grpc://HOST:PORT", help="Work on a search that is served there.")
@click.option("--force", is_flag=True, help="Overwrite a tuned recipe that something else wrote.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=300.0,
    show_default=True,
    help="Seconds to wait for a storage that has gone.",
)
@cache_option
@command_options
def tune(
    recipe: Path,
    storage: str | None,
    serve: str | None,
    join: str | None,
    force: bool,
    patience: float,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Search better values for [finetune] on validation; write them as a new recipe beside RECIPE.

    The same command goes on with a search that was stopped. Several workers may share one: start the command again
    with the same --storage, or --join one that --serve serves.
    """
    from edgetune import api
    from edgetune.progress import Console
    from edgetune.report.tune import at_guessing, render_tune

    if join and (serve or storage):
        raise InputError("--join takes the storage from the search it joins", hint="leave --storage and --serve out")
    if serve:
        api.tune_serve(recipe, address=serve, storage=storage, announce=lambda url: announce_search(url, as_json))
        return
    found = api.tune(
        recipe,
        storage=storage,
        join=join,
        force=force,
        patience=patience,
        cache_dir=cache_dir,
        reporter=Console(),
    )
    learn = shlex.join(["edgetune", "lr-find", *([str(recipe)] if recipe != Path(DEFAULT_NAME) else [])])
    emit(found, as_json, lambda: tune_text(found, render_tune(found), learn if at_guessing(found) else None))


@cli.command(epilog=example("edgetune search --target x86-cpu"))
@recipe_argument
@click.option("--target", "-t", metavar="NAME", help="Whose engines are built and timed [default: the recipe's first].")
@click.option("--storage", metavar="URL", help="Database, or an SQLite file [default: search/search.db by RECIPE].")
@click.option("--serve", metavar="HOST:PORT", help="Let workers join through this address; builds nothing itself.")
@click.option("--join", metavar="grpc://HOST:PORT", help="Work on a search that is served there.")
@click.option("--force", is_flag=True, help="Overwrite a searched recipe that something else wrote.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=300.0,
    show_default=True,
    help="Seconds to wait for a storage that has gone.",
)
@click.option(
    "--work",
    type=click.Choice(["all", "train", "measure"]),
    default="all",
    show_default=True,
    help="Only train networks, or only make and time engines of those that others trained; needs --cache-url.",
)
@cache_option
@command_options
def search(
    recipe: Path,
    target: str | None,
    storage: str | None,
    serve: str | None,
    join: str | None,
    force: bool,
    patience: float,
    work: str,
    cache_dir: Path | None,
    as_json: bool,
) -> int:
    """Search pruning and quantization by building engines; write the one to ship as a new recipe beside RECIPE.

    Each trial is an engine: its accuracy on validation, and its latency beside the float engine's. The same command
    goes on with a search that was stopped; several workers share one as those of `edgetune tune` do.
    """
    from edgetune import api
    from edgetune.progress import Console
    from edgetune.report.search import render_search

    if join and (serve or storage):
        raise InputError("--join takes the storage from the search it joins", hint="leave --storage and --serve out")
    if serve:
        api.search_serve(
            recipe,
            address=serve,
            target=target,
            storage=storage,
            announce=lambda url: announce_search(url, as_json, "search"),
        )
        return 0
    found = api.search(
        recipe,
        target=target,
        storage=storage,
        join=join,
        force=force,
        patience=patience,
        work=work,
        cache_dir=cache_dir,
        reporter=Console(),
    )
    emit(found, as_json, lambda: tune_text(found, render_search(found)))
    return 0 if found["recipe"] or not found["complete"] else NOTHING_FITS


def announce_search(url: str, as_json: bool, command: str = "tune") -> None:
    """Where workers join, and how."""
    emit({"url": url}, as_json, lambda: f"serving {url}\nworkers: edgetune {command} --join {url}")
    sys.stdout.flush()


def tune_text(found: dict[str, Any], table: str, then: str | None = None) -> str:
    """The trials, what was written, and what to do next: ``then``, or building the recipe that won."""
    page = next(path for path in found["files"] if path.endswith(".html"))
    if not found["complete"]:
        table += "\nThe time is up; the same command goes on."
    if found["recipe"] is None:
        return f"{table}\nwrote {os.path.relpath(page)}; no recipe, as no engine fits"
    recipe = os.path.relpath(found["recipe"])
    return f"{table}\nwrote {recipe}, {os.path.relpath(page)}\nnext: {then or f'edgetune build {recipe}'}"
