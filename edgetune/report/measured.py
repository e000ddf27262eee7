"""The raw measurements that a run keeps beside its report, and whether two runs show the same one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgetune.report.view import Json


def raw_measurement(folder: Path, target: str) -> Json | None:
    """``measurements/TARGET.json`` of a run; None where there is none that can be read."""
    try:
        found = json.loads((folder / f"measurements/{target}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("engines"), dict) else None


def same_measurement(first: Json | None, second: Json | None) -> bool:
    """Whether both are one and the same, found in the store by the second run: raw times never come twice."""
    return first is not None and second is not None and first["engines"] == second["engines"]


def measured_together(folders: Sequence[Path], target: str) -> list[list[int]]:
    """Places of the runs in ``folders``, those together that show one measurement of ``target``, or are one run."""
    groups: list[tuple[Path, Json | None, list[int]]] = []
    for place, folder in enumerate(folders):
        run, raw = folder.resolve(), raw_measurement(folder, target)
        group = next((places for one, kept, places in groups if one == run or same_measurement(kept, raw)), None)
        if group is None:
            groups.append((run, raw, [place]))
        else:
            group.append(place)
    return [places for _, _, places in groups]
