"""Optuna's gRPC proxy in front of a storage, so that workers need neither its driver nor its password.

The proxy knows no users and encrypts nothing: whoever reaches the port can read and change the search.
"""

import socket
from collections.abc import Callable

from optuna.storages import BaseStorage, run_grpc_proxy_server

from edgetune.errors import InputError
from edgetune.tune.storage import SCHEME

ANY = ("0.0.0.0", "[::]")


def serve(storage: BaseStorage, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve ``storage`` until the process is told to stop.

    Raises:
        InputError: nothing can listen at ``host`` and ``port``.
    """
    port = free_port(host, port)
    announce(f"{SCHEME}://{socket.gethostname() if host in ANY else host}:{port}")
    run_grpc_proxy_server(storage, host=host, port=port)


def free_port(host: str, port: int) -> int:
    """``port``, or for 0 one that is free. gRPC itself would share a port with another server without a word.

    Raises:
        InputError: it is taken, or is not this machine's.
    """
    try:
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        with socket.create_server((host.strip("[]"), port), family=family) as taken:
            found: int = taken.getsockname()[1]
            return found
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}:{port}: {error.strerror or error}", hint="give another HOST:PORT to --serve"
        ) from error
