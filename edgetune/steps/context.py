"""What a step is given. Only ``params``, ``inputs`` and ``seed`` may change its result: they make its key."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.devices.protocol import Device
from edgetune.inference import OWN_OPTIONS
from edgetune.progress import Tick, Watch, unwatched


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """A step's surroundings.

    ``inputs`` maps roles to artifact folders; ``out`` is filled by the step; ``scratch`` outlives an
    interruption. ``base``, ``data``, ``weights``, ``cache_mb`` and ``workers`` say where things
    lie and how to load them; they are no part of the key. ``device`` is, by its
    fingerprint.
    """

    params: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    scratch: Path
    seed: int
    tick: Tick
    base: Path
    data: Path  # the dataset's folder or CSV
    weights: Path | None
    cache_mb: int
    workers: int
    device: Device | None = None  # where the step's engines run; None: here
    keep: Path | None = None  # pictures of the pretrained network's own classes
    watch: Watch = unwatched  # told of each epoch of fine-tuning, and of the recovery after the last step of pruning

    def session(self) -> dict[str, Any]:
        """How this step opens engines it only times (see ``edgetune_runtime.session.open_session``)."""
        keys = ("backend", "config", "threads", *OWN_OPTIONS)
        return {key: self.params[key] for key in keys if key in self.params}

    def note(self, name: str) -> Path:
        """A file for facts on how the result came about; kept, but not part of its digest."""
        folder = self.out / "notes"
        folder.mkdir(exist_ok=True)
        return folder / name
