"""Signals that ask to stop, and that none of them is lost.

A KeyboardInterrupt is raised wherever the program is. In the middle of an import that may be code of others that
swallows it: a callback, a finalizer, an extension module that clears the error.
"""

import signal

_asked = False


def listen() -> None:
    """Let SIGTERM, as of a service manager or a time limit, and Ctrl-C (where it is not ignored) stop the program."""
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def stop(*_: object) -> None:
    """Raise KeyboardInterrupt, and remember that it was raised."""
    global _asked
    _asked = True
    raise KeyboardInterrupt


def raise_again() -> None:
    """Raise KeyboardInterrupt where one was raised before and is lost."""
    if _asked:
        raise KeyboardInterrupt
