"""The address a search is served at."""

import socket

import pytest

from edgetune.errors import InputError
from edgetune.tune.proxy import free_port


def test_a_free_port_and_one_that_is_taken():
    assert free_port("127.0.0.1", 0) > 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{port}: .*in use"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
    with pytest.raises(InputError, match="cannot listen"):
        free_port("no.such.host.invalid", 0)
