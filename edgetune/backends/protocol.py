"""What a backend offers: a module with these functions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from edgetune.records import Target


class Backend(Protocol):
    """Makes engines from ONNX files."""

    def check_options(self, target: Target) -> object:
        """Raises a TargetError where the target's ``backend_options`` cannot be."""
        ...

    def unavailable_reason(self, target: Target) -> str | None:
        """Why engines of ``target`` cannot be made and run on this machine; None: they can."""
        ...

    def compile(self, onnx: Path, folder: Path, *, threads: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``engine.onnx`` (or the backend's own form) into ``folder``; returns the manifest's ``session``."""
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that run the engine."""
        ...
