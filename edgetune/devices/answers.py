"""What ``edgetune_runtime.agent`` prints, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from edgetune_runtime.supervisor import MARK

from edgetune.devices.protocol import Part
from edgetune.progress import Tick


def read_answers(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Its answers; whatever else is printed is none."""
    for line in stream:
        text = line.decode(errors="replace")
        if text.startswith(MARK):
            with suppress(ValueError):  # cut off in the middle: the connection has ended
                yield json.loads(text.removeprefix(MARK))


def followed(stream: IO[bytes], progress: Tick, part: Part) -> Iterator[dict[str, Any]]:
    """The answers that decide how a job goes on; its progress and the parts of its result are handed on."""
    for answer in read_answers(stream):
        if "progress" in answer:
            progress(*answer["progress"])
        elif "part" in answer:
            part(answer["part"])
        else:
            yield answer
