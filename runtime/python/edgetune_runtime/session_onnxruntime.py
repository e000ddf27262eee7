"""How ONNX Runtime runs an engine: always with these options, on the CPU unless the bundle names another provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgetune_runtime.errors import LibraryError
from edgetune_runtime.session import PROVIDERS

OPTIMIZATION = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
BESIDE = {"tensorrt": ["cuda"]}  # takes what the provider leaves; the CPU takes the rest
TITLE = f"ONNX Runtime {ort.__version__}"


def open_engine(model: Path | bytes, wanted: dict[str, Any], threads: int) -> ort.InferenceSession:
    """A session for an ONNX file, for one in ONNX Runtime's format, or for its content; see ``session.open_session``.

    Raises:
        LibraryError: it should run by a provider that this ONNX Runtime has not, or that does not start here.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = OPTIMIZATION[wanted.get("graph_optimization", "all")]
    options.log_severity_level = 3  # errors; its warnings are about the graph, which the device cannot change
    options.enable_cpu_mem_arena = wanted.get("arena", True)
    options.enable_mem_pattern = wanted.get("memory_pattern", True)
    for key, value in wanted.get("config", {}).items():
        options.add_session_config_entry(key, str(value))
    content = model if isinstance(model, bytes) else str(model)
    provider = wanted.get("provider", "cpu")
    if provider == "cpu":
        return ort.InferenceSession(content, options, providers=[PROVIDERS["cpu"]])
    if reason := lacks_provider(provider):
        raise LibraryError(reason)
    wished: list[Any] = [PROVIDERS[name] for name in (provider, *BESIDE.get(provider, []), "cpu")]
    if provider == "xnnpack":  # it has threads of its own, and asks that ONNX Runtime's do not spin beside them
        wished[0] = (wished[0], {"intra_op_num_threads": str(threads)})
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(content, options, providers=wished)
    if session.get_providers()[0] != PROVIDERS[provider]:  # it only warns, and runs on the CPU instead
        raise LibraryError(f"{TITLE} has the provider {provider}, but it does not start here: is its driver installed?")
    return session


def lacks_provider(name: str) -> str | None:
    """Why this ONNX Runtime cannot run engines by a provider; None: it has it."""
    have = ort.get_available_providers()
    if PROVIDERS[name] in have:
        return None
    known = [short for short, full in PROVIDERS.items() if full in have]
    return f"{TITLE} here has no provider {name}, it has {', '.join(known)}: install a build of it that has"
