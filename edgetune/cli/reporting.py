"""The command that shows a run again, and hands it on."""

import json
from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import command_options, emit, example
from edgetune.errors import InputError


@cli.command(epilog=example("edgetune report --open"))
@click.argument("runs", nargs=-1, metavar="[RUN]...", type=click.Path(path_type=Path))
@click.option("--compare", is_flag=True, help="What several RUNs ship, side by side.")
@click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="With --compare: write it there, too."
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="With --compare: write a page, with a plot."
)
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
@click.option("--license", "licence", metavar="ID", help="With --push-to-hub: of the engines, such as apache-2.0.")
@command_options
def report(
    runs: tuple[Path, ...],
    compare: bool,
    markdown: Path | None,
    html: Path | None,
    open_it: bool,
    sinks: tuple[str, ...],
    repository: str | None,
    as_json: bool,
    **hub: Any,
) -> None:
    """Show the result of RUN (default: the newest under ./runs), or hand it on."""
    from edgetune import api
    from edgetune.report.terminal import render_table

    if (hub["upload"] and not repository) or (hub["public"] and not hub["upload"]):
        raise InputError(
            "--upload goes with --push-to-hub OWNER/NAME, and --public with --upload", hint="give both, or leave it out"
        )
    if hub["licence"] is not None and not repository:
        raise InputError("--license goes with --push-to-hub OWNER/NAME", hint="give both, or leave it out")
    if compare:
        several(runs, markdown, html, as_json)
        return
    if len(runs) > 1 or markdown is not None or html is not None:
        raise InputError("several runs, --markdown and --html go with --compare", hint="add it, or name one run")
    folder = api.find_report(runs[0] if runs else None)
    if sinks:
        lines = api.send_report(folder, sinks)
        emit({"sent": lines}, as_json, lambda: "\n".join(lines))
    if repository:
        prepared = api.push_to_hub(folder, repository, **hub)
        emit(prepared, as_json, lambda: hub_text(prepared, folder))
    if sinks or repository:
        return
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    page = folder / "report.html"
    emit(data, as_json, lambda: f"{render_table(data)}\n{page}")
    if open_it and click.launch(str(page.absolute())) != 0:
        click.echo(f"no browser could be started; open {page.absolute()}", err=True)


def several(runs: tuple[Path, ...], markdown: Path | None, html: Path | None, as_json: bool) -> None:
    """Print what ``runs`` ship, side by side; two or more."""
    from edgetune import api
    from edgetune.report.several import as_data, render_several

    if len(runs) < 2:
        raise InputError("--compare takes two runs or more", hint="edgetune report --compare runs/a runs/b")
    found = api.several_reports(runs, markdown=markdown, html=html)
    emit(as_data(found), as_json, lambda: render_several(found))


def hub_text(prepared: dict[str, Any], folder: Path) -> str:
    """What was prepared, file by file, and what to do next."""
    lines = [f"  {file['bytes']:>12,}  {file['name']}" for file in prepared["files"]]
    lines += prepared["failed_gates"]
    if prepared["url"]:
        seen = "private" if prepared["private"] else "public: everybody can see it"
        return "\n".join([*lines, f"uploaded to {prepared['url']} ({seen})"])
    next_command = f"edgetune report {folder} --push-to-hub {prepared['repository']} --upload"
    return "\n".join(
        [
            *lines,
            f"prepared in {prepared['folder']}; nothing was uploaded",
            f"next: look at README.md there; {next_command}",
        ]
    )
