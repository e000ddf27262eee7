"""TensorBoard: event files in a folder of the run's name below the address, which is a log directory."""

from __future__ import annotations

import re
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from edgetune.report.sinks.record import Record


def send(record: Record, address: str) -> str:
    """Write curves by epoch, metrics at step 0, the recipe and ``report.md`` as texts; returns the folder."""
    folder = Path(address) / re.sub(r"[^\w.\-]", "_", record.name)
    rows = "\n".join(f"| {name} | {value} |" for name, value in record.parameters.items())
    with SummaryWriter(log_dir=str(folder)) as writer:
        for name, points in record.curves.items():
            for step, value in points:
                writer.add_scalar(name, value, step)
        for name, value in record.metrics.items():
            writer.add_scalar(name, value, 0)
        writer.add_text("recipe", f"| key | value |\n|---|---|\n{rows}")
        for path in record.files:
            if path.suffix == ".md":
                writer.add_text("report", path.read_text(encoding="utf-8"))
    return str(folder)
