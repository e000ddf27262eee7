"""The entry point: signals, and the commands."""

import atexit
import os
import sys
from pathlib import Path
from typing import NoReturn

from edgetune.cli.group import cli
from edgetune.cli.options import fail, unwritten
from edgetune.errors import Interrupted
from edgetune.processes import several
from edgetune.stopping import listen


def main() -> None:
    """Entry point of ``edgetune`` and ``python -m edgetune``."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    for name in ("stdout", "stderr"):  # closed by who started us, as services do: there is nobody to tell
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process
    listen()
    try:
        if several():
            from edgetune import api

            api.as_one_of_several(lambda: cli(prog_name="edgetune"))
        else:
            _alone()
    except KeyboardInterrupt:  # before or after a command's own handling
        _leave_interrupted()
    except SystemExit as end:
        if end.code != Interrupted.exit_code:
            raise
        _leave_interrupted()


def _alone() -> None:
    try:
        cli(prog_name="edgetune")
    except OSError as error:  # of --help or --version: commands handle their own
        fail(unwritten(error), verbose=False)


def _leave_interrupted() -> NoReturn:
    """End with 130, whatever the signal met.

    CPython would end by SIGINT instead if it met an import that makes a class from text, as dataclasses and
    namedtuple do: it remembers that ``exec`` was interrupted (``_Py_UnhandledKeyboardInterrupt``).
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(Interrupted.exit_code)
