"""The reference of the command line, read off the commands themselves."""

import click

from edgetune.cli import cli

HEAD = """# Commands

Written from the program's own `--help` when this site is built.
"""


def commands_reference() -> str:
    """The whole page, as Markdown: what each command's ``--help`` says."""
    parts = [HEAD]
    for path, command in commands(cli, ("edgetune",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
        parts.append(f"## {' '.join(path)}\n\n```text\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


def commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    """(names, command) of ``command`` and everything below it."""
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            found += commands(command.commands[name], (*path, name))
    return found
