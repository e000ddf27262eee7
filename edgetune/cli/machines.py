"""Commands on targets, machines and the store."""

from pathlib import Path
from typing import Any

import click

from edgetune.cli.group import cli
from edgetune.cli.options import cache_option, command_options, emit, example
from edgetune.errors import EdgetuneError


@cli.group(invoke_without_command=True, epilog=example("edgetune targets show jetson"))
@click.pass_context
@command_options
def targets(context: click.Context, as_json: bool) -> None:
    """The devices edgetune builds for: one line each, or `show NAME` for all about one."""
    if context.invoked_subcommand is None:
        list_targets(as_json)


def list_targets(as_json: bool) -> None:
    """Print every target."""
    from dataclasses import asdict

    from edgetune.target import all_targets

    known = all_targets(Path.cwd())
    emit(
        [asdict(target) for target in known],
        as_json,
        lambda: "\n".join(f"{t.name:18}{t.backend:13}{t.summary}" for t in known),
    )


@targets.command("show", epilog=example("edgetune targets show jetson"))
@click.argument("name")
@command_options
def targets_show(name: str, as_json: bool) -> None:
    """All that is known of target NAME, and where each fact comes from."""
    from dataclasses import asdict

    from edgetune.target import load_target

    target = load_target(name, Path.cwd())
    emit(asdict(target), as_json, lambda: target_text(target))


@targets.command("probe", epilog=example("edgetune targets probe ssh://pi@raspberrypi.local -o targets/my-pi.toml"))
@click.argument("device", required=False, metavar="[ssh://[USER@]HOST[:PORT]]")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the target file here.")
@command_options
def targets_probe(device: str | None, output: Path | None, as_json: bool) -> None:
    """Look at a machine (default: this one) and make a target file for it."""
    from edgetune import api

    found = api.probe(device, output)
    wrote = f"wrote {output}; build for it: edgetune build --target {output}" if output else ""
    emit(found, as_json, lambda: found["file"] + wrote)


def target_text(target: Any) -> str:
    """A target as lines, each with the key of a target file that it stands for."""
    from dataclasses import asdict

    told = asdict(target)
    scheme, options = told.pop("scheme"), told.pop("backend_options")
    for key in ("name", "summary", "sources"):
        del told[key]
    rows = {**told, **{f"scheme.{key}": value for key, value in scheme.items()}}
    rows |= {f"backend_options.{key}": value for key, value in options.items()}
    lines = [f"{target.name}: {target.summary}"]
    lines += [f"  {key:28}{_value(value)}" for key, value in rows.items() if value not in (None, (), [])]
    lines += [f"  source: {source.fact}\n          {source.origin}" for source in target.sources]
    return "\n".join(lines)


def _value(value: Any) -> str:
    """As a target file has it."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@cli.command(epilog=example("edgetune doctor"))
@cache_option
@command_options
def doctor(cache_dir: Path | None, as_json: bool) -> None:
    """Look at this machine: libraries, backends and why one is unavailable, processor, disk and memory."""
    from edgetune import api

    found = api.doctor(cache_dir)
    emit(found, as_json, lambda: doctor_text(found))


def doctor_text(found: dict[str, Any]) -> str:
    """The findings as lines."""
    lines = ["machine"]
    lines += [
        f"  {key:18}{', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in found["machine"].items()
    ]
    lines += ["libraries", *(f"  {name:18}{version}" for name, version in found["versions"].items())]
    store = found["store"]
    lines += [
        "store",
        f"  {'path':18}{store['path']}",
        f"  {'size':18}{store['bytes'] / 1e6:.0f} MB",
        f"  {'disk free':18}{store['free_bytes'] / 1e9:.0f} GB",
        "targets",
        *(f"  {name:18}{'ready' if why is None else why}" for name, why in found["targets"].items()),
    ]
    return "\n".join(lines)


@cli.group()
def cache() -> None:
    """Finished steps on disk: how much they take, and removing them."""


@cache.command("size", epilog=example("edgetune cache size"))
@cache_option
@command_options
def cache_size(cache_dir: Path | None, as_json: bool) -> None:
    """How much the store holds, by kind of step."""
    from edgetune import api

    store = api.open_store(cache_dir)
    kinds: dict[str, dict[str, int]] = {}
    for entry in store.entries():
        kind = kinds.setdefault(entry.name, {"count": 0, "bytes": 0})
        kind["count"] += 1
        kind["bytes"] += entry.size_bytes
    data = {"path": str(store.root), "kinds": kinds, "unfinished_bytes": store.work_bytes()}
    rows = [f"  {name:12}{kind['count']:5}{kind['bytes'] / 1e6:10.1f} MB" for name, kind in sorted(kinds.items())]
    emit(
        data,
        as_json,
        lambda: "\n".join([str(store.root), *rows, f"  {'unfinished':17}{store.work_bytes() / 1e6:10.1f} MB"]),
    )


@cache.command("prune", epilog=example("edgetune cache prune --keep-gb 5"))
@click.option("--keep-gb", type=click.FloatRange(min=0), default=0.0, help="Keep this much of what was used last.")
@click.option("--unused-days", type=click.FloatRange(min=0), default=0.0, help="Remove only what lay unused this long.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@cache_option
@command_options
def cache_prune(keep_gb: float, unused_days: float, yes: bool, cache_dir: Path | None, as_json: bool) -> None:
    """Remove finished steps, the least recently used first (they would be made again when needed)."""
    from edgetune import api

    store = api.open_store(cache_dir)
    if not yes and not as_json:
        click.confirm(f"Remove finished steps from {store.root}?", abort=True, err=True)
    removed = store.prune(keep_bytes=int(keep_gb * 1e9), unused_days=unused_days)
    freed = sum(entry.size_bytes for entry in removed)
    emit(
        {"removed": len(removed), "bytes": freed},
        as_json,
        lambda: f"removed {len(removed)} steps, {freed / 1e6:.1f} MB",
    )


@cli.command(epilog=example('eval "$(edgetune completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@command_options
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script for SHELL; evaluate it in your shell's start-up file."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise EdgetuneError(f"no completion for {shell}")
    script = kind(cli, {}, "edgetune", "_EDGETUNE_COMPLETE").source()
    emit({"shell": shell, "script": script}, as_json, lambda: script)
