"""The checked dataset, as any step reads it."""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from edgetune.data.index import DatasetIndex
from edgetune.data.scan import data_root
from edgetune.steps.context import StepContext


def load_index(context: StepContext) -> DatasetIndex:
    """The checked dataset, with the place where it lies now."""
    return read_index(context.inputs["dataset"], data_root(context.data))


@lru_cache(maxsize=2)
def read_index(folder: Path, root: Path) -> DatasetIndex:
    """The index in the artifact ``folder``, of a dataset that lies in ``root``."""
    content = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return replace(DatasetIndex.from_json(content), root=root)
