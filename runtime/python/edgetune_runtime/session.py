"""The one place that decides how ONNX Runtime runs an engine: whatever is timed or shipped opens its session here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort

OPTIMIZATION = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def open_session(file: Path, wanted: dict[str, Any], threads: int | None = None) -> ort.InferenceSession:
    """A session on the CPU for an ONNX file.

    Args:
        wanted: the manifest's ``session``: threads, graph_optimization, config; an empty one means the defaults.
        threads: of one inference; None: what ``wanted`` says.

    Raises:
        Exception: whatever ONNX Runtime raises; its exceptions share no base of their own.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or wanted.get("threads", 1)
    options.inter_op_num_threads = 1
    options.graph_optimization_level = OPTIMIZATION[wanted.get("graph_optimization", "all")]
    options.log_severity_level = 3  # errors; its warnings are about the graph, which the device cannot change
    for key, value in wanted.get("config", {}).items():
        options.add_session_config_entry(key, str(value))
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
