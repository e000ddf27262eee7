"""How ONNX Runtime runs an engine: on the CPU, always with these options."""

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
TITLE = f"ONNX Runtime {ort.__version__}"


def open_engine(model: Path | bytes, wanted: dict[str, Any], threads: int) -> ort.InferenceSession:
    """A session on the CPU for an ONNX file, or for its content; see ``session.open_session``."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = OPTIMIZATION[wanted.get("graph_optimization", "all")]
    options.log_severity_level = 3  # errors; its warnings are about the graph, which the device cannot change
    for key, value in wanted.get("config", {}).items():
        options.add_session_config_entry(key, str(value))
    content = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
