"""What a device that is not this machine offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edgetune.progress import Tick, silent

LOOK_SECONDS = 120.0

Part = Callable[[Mapping[str, Any]], None]
"""Takes one part of a result that comes in parts."""


def ignore(part: Mapping[str, Any]) -> None:
    """The Part of whoever expects none."""


class Device(Protocol):
    """A machine that does the jobs of ``edgetune_runtime.agent``; devices derive from it."""

    @property
    def name(self) -> str:
        """What reports call it: no user's name, no port."""
        ...

    def about(self) -> Mapping[str, Any]:
        """``device``, ``versions`` and ``telemetry`` of ``edgetune_runtime.agent.look``, asked for once.

        Raises:
            DeviceError: it cannot be reached, or lacks what engines need.
        """
        ...

    def look(self) -> dict[str, Any]:
        """The same, asked for now, whether or not libraries are missing."""
        return self.do({"kind": "look"}, {}, limit_seconds=LOOK_SECONDS)

    def do(
        self,
        job: Mapping[str, Any],
        files: Mapping[str, Path],
        *,
        limit_seconds: float,
        progress: Tick = silent,
        part: Part = ignore,
    ) -> dict[str, Any]:
        """The result of ``job``, which finds ``files`` {name: file here} in its folder.

        Raises:
            DeviceError: the device cannot do it. BackendError: the engine is to blame.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...
