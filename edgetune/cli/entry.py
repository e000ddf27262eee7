"""The entry point: signals, and the commands."""

import os
import signal
import sys

from edgetune.cli.group import cli
from edgetune.processes import several


def main() -> None:
    """Entry point of ``edgetune`` and ``python -m edgetune``."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    signal.signal(signal.SIGTERM, _stop)
    try:
        if several():
            from edgetune import api

            api.as_one_of_several(lambda: cli(prog_name="edgetune"))
        else:
            cli(prog_name="edgetune")
    except KeyboardInterrupt:  # before or after a command's own handling
        sys.exit(130)


def _stop(*_: object) -> None:
    """What a service manager or a time limit asks for ends a run as Ctrl-C does."""
    raise KeyboardInterrupt
