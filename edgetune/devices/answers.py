"""What ``edgetune_runtime.agent`` prints, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from edgetune_runtime.supervisor import MARK


def read_answers(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Its answers; whatever else is printed is none."""
    for line in stream:
        text = line.decode(errors="replace")
        if text.startswith(MARK):
            with suppress(ValueError):  # cut off in the middle: the connection has ended
                yield json.loads(text.removeprefix(MARK))
