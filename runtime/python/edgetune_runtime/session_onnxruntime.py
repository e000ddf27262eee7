"""How ONNX Runtime runs an engine: always with these options, on the CPU unless the bundle names another provider."""

from __future__ import annotations

import io
import json
import tempfile
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
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
ON_CUDA = ("cuda", "tensorrt")
BESIDE = {"tensorrt": ["cuda"]}  # takes what the provider leaves; the CPU takes the rest
KERNEL = "_kernel_time"  # what the profile appends to an operator's name
_loading = threading.Lock()
_told: list[str] = []  # what CUDA's libraries said, once they were looked for
TITLE = f"ONNX Runtime {ort.__version__}"


def open_engine(
    model: Path | bytes, wanted: dict[str, Any], threads: int, profile: Path | None = None
) -> ort.InferenceSession:
    """A session for an ONNX file, for one in ONNX Runtime's format, or for its content; see ``session.open_session``.

    Args:
        profile: what its profile's file name begins with; None: it keeps none.

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
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
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
    missing = _load_cuda() if provider in ON_CUDA else ""
    session = ort.InferenceSession(content, options, providers=wished)
    if session.get_providers()[0] != PROVIDERS[provider]:  # it only warns, and runs on the CPU instead
        why = missing or "is its driver installed?"
        raise LibraryError(f"{TITLE} has the provider {provider}, but it does not start here: {why}")
    return session


def _load_cuda() -> str:
    """Load CUDA's libraries where pip installs them, which the linker does not search; returns what is missing."""
    with _loading:
        if not _told and hasattr(ort, "preload_dlls"):  # from 1.21 on
            found = io.StringIO()
            with redirect_stdout(found):  # it prints what it does not find
                ort.preload_dlls()
            _told.append(" ".join(found.getvalue().split()))
    return _told[0] if _told else ""


class Profiled:
    """A session that notes what each operator took."""

    def __init__(self, model: Path, wanted: dict[str, Any], threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgetune-profile-")
        self._session = open_engine(model, wanted, threads, Path(self._folder.name) / "profile")

    def run(self, feed: Mapping[str, Any]) -> None:
        """One inference."""
        self._session.run(None, dict(feed))

    def told(self) -> list[tuple[str, str, list[float]]]:
        """(node, operator, milliseconds of each inference), in the order of the first; it runs no more after it."""
        with self._folder:
            events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        found: dict[tuple[str, str], list[float]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
                key = event["name"].removesuffix(KERNEL), event["args"]["op_name"]
                found.setdefault(key, []).append(event["dur"] / 1e3)
        return [(*key, times) for key, times in found.items()]


open_profiled = Profiled


def lacks_provider(name: str) -> str | None:
    """Why this ONNX Runtime cannot run engines by a provider; None: it has it."""
    have = ort.get_available_providers()
    if PROVIDERS[name] in have:
        return None
    known = [short for short, full in PROVIDERS.items() if full in have]
    return f"{TITLE} here has no provider {name}, it has {', '.join(known)}: install a build of it that has"
