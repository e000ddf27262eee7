"""How TensorRT runs an engine: the bundle's own where it was built with this TensorRT for this GPU, else another.

That one is built here from the bundle's ONNX file when it is first opened, and kept. An engine never leaves its
version of TensorRT and its GPU, so each that is kept is found by both, by the ONNX file and by how it is built. Files
appear as a whole: a process that is killed while it builds leaves nothing behind that counts.
"""

from __future__ import annotations

import json
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from edgetune_runtime import tensorrt_api, tensorrt_here, trtexec
from edgetune_runtime.errors import BundleError, RuntimeProblem
from edgetune_runtime.tensorrt_settings import Settings, foreign, read_settings

TITLE = "TensorRT"
CACHE = "EDGETUNE_TENSORRT_CACHE"  # another folder than ~/.cache/edgetune-tensorrt
SUFFIXES = (".plan", ".engine")


def open_engine(model: Path | bytes, wanted: dict[str, Any], threads: int) -> Any:
    """A session for a bundle's ONNX file or built engine; see ``session.open_session``. ``threads`` changes nothing.

    Raises:
        LibraryError: no TensorRT. BundleError: an engine of another version or GPU without an ONNX file to build from.
        RuntimeProblem: the engine cannot be built or run.
    """
    if isinstance(model, bytes):
        raise BundleError("TensorRT engines are opened from a bundle's files only")
    settings, here = read_settings(wanted), tensorrt_here.find()
    plan = find_plan(model, settings, here)
    if here.package:
        return tensorrt_api.Session(tensorrt_api.load(), plan, settings)
    if here.program is None:
        raise RuntimeProblem("TensorRT's Python package is here, and no GPU that its driver tells of")
    return TrtexecSession(here.program, plan, settings)


def find_plan(model: Path, settings: Settings, here: tensorrt_here.Here) -> bytes:
    """The engine to run: the bundle's own, the one that was built here before, or one built now."""
    own = settings.plan
    if own is not None:
        why = foreign(own, here.tied)
        if why is None:
            return (model.parent / str(own["file"])).read_bytes()
        if model.suffix in SUFFIXES:
            raise BundleError(
                f"{own['file']} cannot run here: {why}. Engines never leave their version of TensorRT and their GPU: "
                "build it on this device, from its ONNX file"
            )
    elif model.suffix in SUFFIXES:
        raise BundleError(f"the bundle does not say which TensorRT and GPU {model.name} was built for; build it again")
    return cached(model, settings, here)


def cached(model: Path, settings: Settings, here: tensorrt_here.Here) -> bytes:
    """The engine that was built here from this file before, or one that is built now and kept."""
    folder = cache_folder()
    name = f"{_digest([sha256(model.read_bytes()).hexdigest(), settings.key, here.tied])}"
    try:
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        plan = (folder / f"{name}.plan").read_bytes()
        if facts["tied"] == here.tied and facts["sha256"] == sha256(plan).hexdigest():
            return plan
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not whole
    built = tensorrt_here.build(here, model, settings, folder)
    facts = {"tied": here.tied, "sha256": sha256(built.plan).hexdigest(), "by": built.by, "seconds": built.seconds}
    try:
        tensorrt_api.write_whole(folder / f"{name}.plan", built.plan)
        tensorrt_api.write_whole(folder / f"{name}.json", json.dumps(facts, sort_keys=True).encode())
    except OSError:
        pass  # a full or read-only disk: it is built again next time
    return built.plan


def cache_folder() -> Path:
    """Where engines that were built here are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get(CACHE) or Path(base) / "edgetune-tensorrt")


class TrtexecSession:
    """An engine run by trtexec, one process for each batch: right, and slow. For machines without the Python package.

    trtexec writes outputs with six digits.
    """

    def __init__(self, program: str, plan: bytes, settings: Settings) -> None:
        self._program, self._settings = program, settings
        self._folder = tempfile.TemporaryDirectory(prefix="edgetune-tensorrt-")
        self._plan = Path(self._folder.name) / "engine.plan"
        self._plan.write_bytes(plan)
        self._count = 0
        first = self._part(np.zeros((1, *settings.sample), settings.dtype))  # loads it, and tells its outputs
        self._inputs = [tensorrt_api.Tensor(settings.input, settings.dtype, [None, *settings.sample])]
        self._outputs = [
            tensorrt_api.Tensor(name, str(array.dtype), [None, *array.shape[1:]]) for name, array in first.items()
        ]

    def get_inputs(self) -> list[tensorrt_api.Tensor]:
        """In the engine's order."""
        return self._inputs

    def get_outputs(self) -> list[tensorrt_api.Tensor]:
        """In the engine's order."""
        return self._outputs

    def run(self, names: list[str] | None, feed: dict[str, Any]) -> list[Any]:
        """The outputs called ``names``, all for None; a batch larger than the engine's runs in parts."""
        batch, most = next(iter(feed.values())), self._settings.max_batch
        parts = [self._part(batch[start : start + most]) for start in range(0, len(batch), most)]
        wanted = names or [tensor.name for tensor in self._outputs]
        return [np.concatenate([part[one] for part in parts]) for one in wanted]

    def _part(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        self._count += 1
        settings, folder = self._settings, Path(self._folder.name)
        inputs, output = folder / f"{self._count}.in", folder / f"{self._count}.json"
        inputs.write_bytes(np.ascontiguousarray(batch, settings.dtype).tobytes())
        shapes = (f"--shapes={trtexec.shape(settings.input, settings.sample, len(batch))}",)
        command = trtexec.inference_command(
            self._program, str(self._plan), shapes=shapes, inputs=f"{settings.input}:{inputs}", output=str(output),
            dla_core=settings.dla_core,
        )  # fmt: skip
        trtexec.run(command, "run the engine", trtexec.RUN_SECONDS)
        found = trtexec.read_output(output)
        inputs.unlink()
        output.unlink()
        if not found or any(len(array) != len(batch) for array in found.values()):
            raise RuntimeProblem(f"trtexec gave no output for {len(batch)} samples")
        return found


def _digest(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]
