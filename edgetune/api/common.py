"""What several commands begin with: the store, devices, a file that can be written."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgetune.devices.protocol import Device
from edgetune.errors import InputError
from edgetune.remote import VARIABLE, open_remote
from edgetune.store import Store, default_root


def writable(output: str | Path | None) -> Path | None:
    """The file for a result, checked before anything is measured."""
    if output is None:
        return None
    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"cannot write {path}", hint="give a file in a folder that exists")
    return path


@contextmanager
def connected(addresses: str | Sequence[str]) -> Iterator[list[Device]]:
    from edgetune.devices.ssh import connect  # most builds do without it

    with ExitStack() as stack:
        wanted = [addresses] if isinstance(addresses, str) else addresses
        yield [stack.enter_context(connect(address)) for address in wanted]


def open_store(cache_dir: str | Path | None = None) -> Store:
    """The store at ``cache_dir``, or the default one; with ``$EDGETUNE_REMOTE``, joined to the shared one there.

    Raises:
        InputError, StoreError: as of ``remote.open_remote``.
    """
    url = os.environ.get(VARIABLE)
    root = Path(cache_dir).expanduser().absolute() if cache_dir else default_root()
    return Store(root, open_remote(url) if url else None)
