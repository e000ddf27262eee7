"""What commands share: options, errors as messages and exit codes, results as text or JSON."""

import errno
import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

import click
from edgetune_runtime.visible import visible

from edgetune.errors import EdgetuneError, InputError, Interrupted


def example(text: str) -> str:
    """A help epilog with an example that click does not rewrap."""
    return f"\b\nExample:\n  {text}"


def command_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json`` and ``--verbose``, and errors as one message and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON; all else to stderr.")
    @click.option("--verbose", "-v", is_flag=True, help="Show the traceback of an error.")
    @wraps(function)
    def wrapped(*args: Any, verbose: bool, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except click.exceptions.Exit:
            raise
        except (KeyboardInterrupt, Interrupted) as error:
            fail(error if isinstance(error, Interrupted) else Interrupted("stopped"), verbose)
        except EdgetuneError as error:
            fail(error, verbose)
        except BrokenPipeError:
            _drop(sys.stdout)  # the reader went away
            sys.exit(1)
        except (click.ClickException, click.Abort):
            raise
        except OSError as error:
            fail(_of_the_system(error), verbose)
        except Exception as error:  # noqa: BLE001 - the last line of defence: a message, not a traceback
            fail(_unexpected(error), verbose)
        else:
            if code:
                sys.exit(code)

    return wrapped


def _unexpected(error: Exception) -> EdgetuneError:
    return EdgetuneError(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug, or something edgetune does not know: see --verbose, and report it",
    )


def _of_the_system(error: OSError) -> EdgetuneError:
    """What to say of an error of the system that no command expected."""
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"cannot use {error.filename}: {error.strerror}", hint="shorten the name")
    return _unexpected(error)


def fail(error: EdgetuneError, verbose: bool) -> None:
    """Print an error (with its traceback if asked for) and leave with its code, also where stderr takes nothing."""
    try:
        if verbose:
            import traceback

            click.echo(visible(traceback.format_exc()), err=True)
        click.secho(f"error: {visible(error.message)}", fg="red", err=True)
        if error.hint:
            click.echo(f"  {visible(error.hint)}", err=True)
    except OSError:
        _drop(sys.stderr)
    sys.exit(error.exit_code)


def emit(data: Any, as_json: bool, text: Callable[[], str]) -> None:
    """The result on stdout: JSON or text, with codes for letters that its encoding lacks.

    Raises:
        EdgetuneError: it cannot be written.
    """
    told = json.dumps(data, indent=2) if as_json else visible(text())
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        click.echo(told.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritten(error) from error


def unwritten(error: OSError) -> EdgetuneError:
    """What to say where stdout takes nothing."""
    _drop(sys.stdout)
    return EdgetuneError(f"cannot write to stdout: {error.strerror}", hint="files that a command made are kept")


def _drop(stream: TextIO) -> None:
    """Nothing more is to be told there, nor tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


recipe_argument = click.argument("recipe", type=click.Path(path_type=Path), default=Path("edgetune.toml"))


target_option = click.option("--target", "-t", "targets", multiple=True, metavar="NAME", help="Repeat for several.")


device_option = click.option(
    "--device", "devices", multiple=True, metavar="ssh://[USER@]HOST[:PORT]", help="Where engines run; repeatable."
)


def _set_back(variable: str, value: str | None) -> None:
    """In a process that goes on after a command, the next one must not find its options."""
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def cache_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--cache-dir``, and ``--cache-url``: in the environment until a command ends, for what the command starts."""

    def share(context: click.Context, option: click.Parameter, url: str | None) -> None:
        if url:
            before = os.environ.get("EDGETUNE_REMOTE")
            os.environ["EDGETUNE_REMOTE"] = url
            context.call_on_close(lambda: _set_back("EDGETUNE_REMOTE", before))

    folder = click.option("--cache-dir", type=click.Path(path_type=Path), help="Where finished steps are kept.")
    shared = click.option(
        "--cache-url",
        metavar="URL",
        expose_value=False,
        callback=share,
        help="Share them with other machines: a folder or s3://BUCKET/PREFIX [default: $EDGETUNE_REMOTE].",
    )
    return folder(shared(function))
