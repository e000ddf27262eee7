"""The command that shows a run again, and hands it on."""

import json
from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import command_options, emit, example
from edgetune.errors import InputError


@cli.command(epilog=example("edgetune report --open"))
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--open", "open_it", is_flag=True, help="Show report.html in the browser.")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="NAME:ADDRESS",
    help="Tell it to mlflow:TRACKING-URI or tensorboard:LOGDIR; repeatable.",
)
@click.option("--push-to-hub", "repository", metavar="OWNER/NAME", help="Prepare a model card and its files for a hub.")
@click.option("--upload", is_flag=True, help="With --push-to-hub: upload them, too, into a private repository.")
@click.option("--public", is_flag=True, help="With --upload: one that everybody can see.")
@command_options
def report(
    run: Path | None,
    open_it: bool,
    sinks: tuple[str, ...],
    repository: str | None,
    upload: bool,
    public: bool,
    as_json: bool,
) -> None:
    """Show the result of RUN (default: the newest under ./runs), or hand it on."""
    from edgetune import api
    from edgetune.report.terminal import render_table

    if (upload and not repository) or (public and not upload):
        raise InputError(
            "--upload goes with --push-to-hub OWNER/NAME, and --public with --upload", hint="give both, or leave it out"
        )
    folder = api.find_report(run)
    if sinks:
        lines = api.send_report(folder, sinks)
        emit({"sent": lines}, as_json, lambda: "\n".join(lines))
    if repository:
        prepared = api.push_to_hub(folder, repository, upload=upload, public=public)
        emit(prepared, as_json, lambda: hub_text(prepared, folder))
    if sinks or repository:
        return
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    page = folder / "report.html"
    emit(data, as_json, lambda: f"{render_table(data)}\n{page}")
    if open_it and click.launch(str(page.absolute())) != 0:
        click.echo(f"no browser could be started; open {page.absolute()}", err=True)


def hub_text(prepared: dict[str, Any], folder: Path) -> str:
    """What was prepared, file by file, and what to do next."""
    lines = [f"  {file['bytes']:>12,}  {file['name']}" for file in prepared["files"]]
    if prepared["url"]:
        return "\n".join([*lines, f"uploaded to {prepared['url']}"])
    next_command = f"edgetune report {folder} --push-to-hub {prepared['repository']} --upload"
    return "\n".join(
        [
            *lines,
            f"prepared in {prepared['folder']}; nothing was uploaded",
            f"next: look at README.md there; {next_command}",
        ]
    )
