"""What the benchmarks share: the environment they ran in, and where results go."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.devices import local
from edgetune.pipeline import library_versions

RESULTS = Path(__file__).parent / "results"
# A target on which one scale for a whole weight makes 8 bits hard.
PER_TENSOR = """
extends = "x86-cpu"
[scheme]
per_channel = false
"""


def environment() -> dict[str, Any]:
    """Machine, library versions and the commit that was measured (with a mark if the tree had changes)."""
    root = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", ":/edgetune", ":/runtime", ":/targets"],
        cwd=root,
        capture_output=True,
        text=True,
    ).stdout.strip()
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit + ("+changes" if changed else ""),
        "machine": local.describe(),
        **({"gpu": gpu} if gpu else {}),
        "telemetry": local.telemetry(),
        "versions": library_versions(),
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Write ``results/<name>.json`` with the environment."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment(), **result}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def find(data: Path, name: str) -> Path:
    """The dataset or file ``name`` in a folder of them, or one folder below.

    Raises:
        SystemExit: it is not there, or only its archive is.
    """
    for path in (data / name, *sorted(data.glob(f"*/{name}"))):
        if path.exists():
            return path.absolute()
    raise SystemExit(f"there is no {name} in {data}, nor in a folder there (archives must be unpacked)")


class Units:
    """Results of a long benchmark in one file, written after each unit; what is there already is not run again.

    ``environment`` is that of the last writing; ``made`` tells when each unit was made, and of which commit.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings, self.done, self.made = path, settings, dict[str, Any](), dict[str, Any]()
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["settings"] != settings:
                raise SystemExit(f"{path} holds results of other settings; name another --output")
            self.done, self.made = found["units"], found.get("made", {})

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of the unit ``name``: kept, or made now and saved."""
        if name not in self.done:
            self.done[name] = make()
            self.made[name] = {key: value for key, value in environment().items() if key in ("when", "commit")}
            self.write()
        return self.done[name]

    def write(self, **more: Any) -> None:
        """Save everything so far, and ``more``."""
        content = {
            "environment": environment(),
            "settings": self.settings,
            "made": self.made,
            "units": self.done,
            **more,
        }
        partial = self.path.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.path)


def use_device(name: str) -> None:
    """Let torch see the GPU or not; to be called before torch is used.

    Raises:
        SystemExit: "cuda", and there is none.
    """
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no NVIDIA GPU here; run with --device cpu")
