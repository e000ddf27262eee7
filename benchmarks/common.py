"""What the benchmarks share: the environment they ran in, and where results go."""

import datetime as dt
import json
import subprocess
from pathlib import Path
from typing import Any

from edgetune.devices import local
from edgetune.pipeline import library_versions

RESULTS = Path(__file__).parent / "results"


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
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit + ("+changes" if changed else ""),
        "machine": local.describe(),
        "telemetry": local.telemetry(),
        "versions": library_versions(),
    }


def save(name: str, result: dict[str, Any]) -> None:
    """Write ``results/<name>.json`` with the environment."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment(), **result}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")
