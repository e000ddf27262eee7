"""Commands on datasets."""

import os
import shlex
from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import cache_option, command_options, emit, example


@cli.command(epilog=example("edgetune init data/clothing10"))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("edgetune.toml"), show_default=True)
@command_options
def init(data: Path, output: Path, as_json: bool) -> None:
    """Look at DATA and write a commented recipe for it."""
    from edgetune import api

    notes: list[str] = []
    path = api.init(data, output, noted=notes.append)
    emit({"recipe": str(path), "notes": notes}, as_json, lambda: init_text(path, notes))


def init_text(path: Path, notes: list[str]) -> str:
    """What was written, what is to be known of the data, and what to do next."""
    shown = shlex.quote(os.path.relpath(path))
    then = f"edgetune check {shown}, then edgetune build {shown}" if notes else f"edgetune build {shown}"
    return "\n".join([f"wrote {path}", *(f"note: {note}" for note in notes), f"next: {then}"])


@cli.command(epilog=example("edgetune check data/clothing10"))
@click.argument("path", metavar="[RECIPE or DATA]", type=click.Path(path_type=Path), default=Path("edgetune.toml"))
@click.option("--fix", type=click.Path(path_type=Path), metavar="FILE.csv", help="Write a list without what was found.")
@click.option("--labels", is_flag=True, help="Look for wrong labels, by the network of a recipe or the words of texts.")
@click.option(
    "--card", type=click.Path(path_type=Path), metavar="DIR", help="Write a dataset card and Croissant there."
)
@cache_option
@command_options
def check(path: Path, fix: Path | None, labels: bool, card: Path | None, cache_dir: Path | None, as_json: bool) -> int:
    """Look for what makes a dataset lie: leaks between splits, duplicates, broken files, labels, balance."""
    from edgetune import api
    from edgetune.progress import Console

    found = api.check(path, fix=fix, labels=labels, card=card, cache_dir=cache_dir, reporter=Console())
    emit(found, as_json, lambda: check_text(found))
    return 3 if found["failed"] else 0


def check_text(found: dict[str, Any]) -> str:
    """Counts and findings as lines."""
    from edgetune.records import DataFinding

    lines = [f"{split}: {sum(counts.values())} {found['noun']}s" for split, counts in found["counts"].items()]
    findings = [DataFinding.from_json(item) for item in found["findings"]]
    lines += [str(finding) for finding in findings] or ["nothing suspicious was found"]
    if "list" in found:
        lines.append(
            f"wrote {found['list']} without {found['left_out']} of the {found['noun']}s; use it with `[data] path`"
        )
    if "card" in found:
        lines.append(f"wrote {', '.join(found['card'])}")
    return "\n".join(lines)
