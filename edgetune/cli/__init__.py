"""The command line: parse, call ``edgetune.api``, print, map errors to exit codes; nothing else."""

from edgetune.cli import building, data, machines, measuring, reporting, training
from edgetune.cli.entry import main
from edgetune.cli.group import cli

__all__ = ["building", "cli", "data", "machines", "main", "measuring", "reporting", "training"]
