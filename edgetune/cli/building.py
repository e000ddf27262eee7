"""Commands that build, and show what was built."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import (
    cache_option,
    command_options,
    device_option,
    emit,
    example,
    recipe_argument,
    target_option,
)
from edgetune.errors import InputError


@cli.command(epilog=example("edgetune plan --target x86-cpu"))
@recipe_argument
@target_option
@device_option
@click.option("--time", "timed", is_flag=True, help="Time a few batches to tell how long fine-tuning will take.")
@cache_option
@command_options
def plan(
    recipe: Path,
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    timed: bool,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Show the steps of a build: what is cached, what would run, what it is likely to cost."""
    from edgetune import api
    from edgetune.progress import Console

    made, statuses = api.plan(
        recipe, target=targets or None, cache_dir=cache_dir, device=devices, timed=timed, reporter=Console()
    )
    rows = [
        {
            "id": status.step.id,
            "title": status.step.title,
            "cached": status.cached,
            "seconds": status.seconds,
            "same_data": status.same_data,
            "scaled": status.scaled,
            "timed": status.timed,
            "size_bytes": status.size_bytes,
            "rung": status.rung,
        }
        for status in statuses
    ]
    emit({"steps": rows, "unavailable": dict(made.facts.unavailable)}, as_json, lambda: plan_text(made, statuses))


def plan_text(made: Any, statuses: list[Any]) -> str:
    """The plan as lines."""
    lines = []
    always = [status for status in statuses if status.rung is None]
    for status in always:
        state = {True: "cached", False: "to run", None: "to run"}[status.cached]
        cost = "   unknown" if status.seconds is None else f"{status.seconds:8.1f} s"
        lines.append(f"  {state:8}{status.step.title:44}{cost}{_source(status)}")
    lines.append(f"{len(always)} steps, {_to_run(always)}")
    rungs = dict.fromkeys(status.rung for status in statuses if status.rung is not None)
    if rungs:
        lines.append("Then the controller makes engines in this order, until nothing better is to be expected:")
    for name in rungs:
        own = [status for status in statuses if status.rung == name]
        lines.append(
            f"  {'cached' if all(s.cached for s in own) else 'to run':8}{name:28}{len(own)} steps, {_to_run(own)}"
        )
    known = _counted(always)
    if made.recipe.cost.per_hour is not None and known:
        money = made.recipe.cost.per_hour * sum(known) / 3600
        lines.append(f"on one device that costs about {money:.2f} {made.recipe.cost.currency}".rstrip())
    for name, reason in made.facts.unavailable.items():
        if reason:
            lines.append(f"{name}: will be prepared, not measured: {reason}")
    lines += [f"{name}: will be evaluated, not timed: {reason}" for name, reason in made.facts.untimed.items()]
    return "\n".join(lines)


def _source(status: Any) -> str:
    """Where the seconds of a step that is not cached come from."""
    if status.cached or status.seconds is None:
        return ""
    if status.timed:
        return " (foretold from timed batches)"
    known = "what such a step took here" if status.same_data else "what one took with other data: not counted"
    return f" ({known}, by its epochs)" if status.scaled else f" ({known})"


def _counted(statuses: list[Any]) -> list[float]:
    """The seconds of the steps to run that are known; what others took with other data is not."""
    return [s.seconds for s in statuses if not s.cached and s.seconds is not None and s.same_data is not False]


def _to_run(statuses: list[Any]) -> str:
    """How many of the steps are not cached, and what they are likely to cost."""
    missing = [status for status in statuses if not status.cached]
    known = _counted(missing)
    unknown = sum(status.seconds is None for status in missing)
    others = len(missing) - len(known) - unknown
    left = [f"{others} only known with other data"] * bool(others) + [f"{unknown} of unknown cost"] * bool(unknown)
    return (
        f"{len(missing)} to run"
        + (f", about {sum(known):.0f} s" if known else "")
        + (f" ({', '.join(left)})" if left else "")
    )


@cli.command(epilog=example("edgetune build --target x86-cpu"))
@recipe_argument
@target_option
@device_option
@click.option(
    "--launcher",
    type=click.Choice(["torchrun"]),
    help="Train in several processes, started by torchrun (docs/scaling.md).",
)
@click.option("--processes", type=click.IntRange(min=2), help="How many; without it, one for each GPU.")
@click.option(
    "--max-restarts", type=click.IntRange(min=0), default=0, help="How often to go on after a process was lost."
)
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where reports and bundles go.")
@cache_option
@command_options
def build(
    recipe: Path,
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    launcher: str | None,
    processes: int | None,
    max_restarts: int,
    run_dir: Path | None,
    cache_dir: Path | None,
    as_json: bool,
) -> int:
    """Do the whole job: fine-tune, prune, quantize, compile, measure, select, report, bundle."""
    from edgetune import api
    from edgetune.processes import several
    from edgetune.progress import Console
    from edgetune.report.terminal import render_table

    if launcher is None and (processes is not None or max_restarts):
        raise InputError(
            "--processes and --max-restarts are for several processes",
            hint="add --launcher torchrun, or leave them out",
        )
    if launcher is not None and not several():
        return api.launch(sys.argv[1:], processes=processes, max_restarts=max_restarts)
    report = api.build(
        recipe, target=targets or None, run_dir=run_dir, cache_dir=cache_dir, device=devices, reporter=Console()
    )
    try:
        shown = report.run_dir.relative_to(Path.cwd())
    except ValueError:
        shown = report.run_dir
    emit(report.data, as_json, lambda: f"{render_table(report.data)}\n{shown}/report.html")
    return report.exit_code


@cli.command(epilog=example("edgetune bundle runs/2026-11-21T07-19-23/bundles/x86-cpu --emit cpp classify"))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--emit",
    "program",
    nargs=2,
    required=True,
    metavar="cpp DIR",
    type=(click.Choice(["cpp"]), click.Path(path_type=Path)),
    help="Write a CMake project that runs it into DIR, which must be new.",
)
@command_options
def bundle(bundle: Path, program: tuple[str, Path], as_json: bool) -> None:
    """Write programs that run BUNDLE, a folder or a .tar that `build` made."""
    from edgetune import api

    language, folder = program
    api.emit_cpp(bundle, folder)
    result = {"language": language, "project": str(folder)}
    command = f"cd {shlex.quote(str(folder))} && cmake -S . -B build && cmake --build build"
    emit(result, as_json, lambda: f"wrote {folder}\nnext: {command}")
