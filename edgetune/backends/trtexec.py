"""trtexec as the desk needs it: the command for a release, its JSON files, and where an engine's layers run.

How it is called is ``edgetune_runtime.trtexec``'s, since devices call it too; here is what the desk alone reads.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune_runtime import trtexec as called
from edgetune_runtime.errors import RuntimeProblem
from edgetune_runtime.trtexec import PRECISION_FLAGS, Files, parse_version

from edgetune.backends.tensorrt_versions import Release
from edgetune.errors import BackendError

__all__ = ["PRECISION_FLAGS", "Files", "command", "parse_version", "precision_flags", "read_layers", "read_times"]
# What the builder says of layers that DLA does not take, and before it why
# (github.com/NVIDIA-AI-IOT/jetson_dla_tutorial, issue 3; github.com/NVIDIA/TensorRT, issue 2318).
FELL_BACK = re.compile(
    r"Layer '(?P<name>.+?)' \((?P<kind>\w+)\): Unsupported on DLA\. Switching this layer's device type to GPU"
    r"|DLA is enabled but layer (?P<old_name>.+?) is not (?:supported|running) on DLA, falling back to GPU"
)
WHY = re.compile(r"\[[WE]\] (?:\[TRT\] )?(?P<name>\S+): (?P<why>.*\bDLA\b.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A layer that was meant for DLA and runs on the GPU; ``kind`` and ``why`` as far as the log tells them."""

    name: str
    kind: str | None
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of an engine; ``origin`` is why TensorRT made it (REFORMAT, QDQ, ...), if it says so."""

    name: str
    kind: str
    origin: str | None
    inputs: tuple[str, ...]  # format and type of each
    outputs: tuple[str, ...]
    average_ms: float | None = None  # of the profile run; None where it has no such layer


def command(
    release: Release,
    files: Files,
    *,
    precision: str | None,
    shapes: str,
    workspace_mb: int | str,
    trtexec: str,
    max_batch: int = 1,
    dla_core: int | None = None,
) -> tuple[str, ...]:
    """The arguments that build, save and time one engine.

    Args:
        precision: ``fp16`` or ``int8``; None leaves these flags out (they are added later, as ``"$@"``).
        shapes: ``image:1x3x224x224``, what the engine is made fast for.
        max_batch: up to so many samples at once, as the batch is dynamic in the ONNX file.
        workspace_mb: MiB; text, for a variable of a shell.
    """
    name, _, sizes = shapes.partition(":")
    flags = called.shape_flags(name, [int(size) for size in sizes.split("x")[1:]], max_batch)
    made: tuple[str, ...] = called.build_command(
        release.family, files, precision=precision, shapes=flags, workspace_mb=workspace_mb, trtexec=trtexec,
        dla_core=dla_core,
    )  # fmt: skip
    return made


def precision_flags(release: Release, precision: str, dla_core: int | None = None) -> tuple[str, ...]:
    """What tells TensorRT the arithmetic of an engine, and where its layers may run."""
    flags: tuple[str, ...] = called.precision_flags(release.family, precision, dla_core)
    return flags


def read_times(path: Path) -> list[float]:
    """GPU compute time of each timed inference, in ms, in order, from ``--exportTimes``.

    Raises:
        BackendError: not such a file, or no inference in it.
    """
    try:
        values: list[float] = called.read_times(path)
    except RuntimeProblem as problem:
        raise _again(problem) from problem
    return values


def read_layers(path: Path) -> list[Layer]:
    """The layers of an engine from ``--exportLayerInfo``; 10.x and 11.x name the formats differently.

    Raises:
        BackendError: not such a file.
    """
    content = _read(path, "layers", dict)
    layers = content.get("Layers")
    if not isinstance(layers, list):
        raise _wrong(path, "layers", "no Layers")
    return [_layer(layer) for layer in layers]


def read_profile(path: Path) -> dict[str, float]:
    """{layer: mean time in ms} from ``--exportProfile``, whose first entry counts the runs.

    Raises:
        BackendError: not such a file.
    """
    rows = _read(path, "profile", list)
    times: dict[str, float] = {}
    try:
        for row in rows:
            if "name" in row:
                times[str(row["name"])] = times.get(str(row["name"]), 0.0) + float(row["averageMs"])
    except (KeyError, TypeError, ValueError) as problem:
        raise _wrong(path, "profile", f"a layer without an averageMs ({problem})") from problem
    return times


def reformat_layers(layers: list[Layer], profile: Mapping[str, float]) -> list[Layer]:
    """Layers that only convert a tensor's type or layout, the slowest first: what INT8 costs beside its gains."""
    found = [
        Layer(
            name=layer.name,
            kind=layer.kind,
            origin=layer.origin,
            inputs=layer.inputs,
            outputs=layer.outputs,
            average_ms=profile.get(layer.name),
        )
        for layer in layers
        if layer.kind == "Reformat" or layer.name.startswith("Reformatting CopyNode")
    ]
    return sorted(found, key=lambda layer: -(layer.average_ms or 0.0))


def gpu_fallbacks(log: str) -> list[Fallback]:
    """Layers that DLA did not take, in the order of the builder's log; constants, which cost nothing, left out."""
    found: dict[str, Fallback] = {}
    reasons: dict[str, str] = {}
    for line in log.splitlines():
        if match := FELL_BACK.search(line):
            name, kind = match["name"] or match["old_name"], match["kind"]
            if kind != "CONSTANT":
                found.setdefault(name, Fallback(name=name, kind=kind, why=reasons.get(name)))
        elif match := WHY.search(line):
            reasons[match["name"]] = match["why"].strip()
    return list(found.values())


def _layer(content: Any) -> Layer:
    if not isinstance(content, Mapping):  # an engine without detailed verbosity has names only
        return Layer(name=str(content), kind="", origin=None, inputs=(), outputs=())
    origin = content.get("Origin")
    return Layer(
        name=str(content.get("Name", "")),
        kind=str(content.get("LayerType", "")),
        origin=None if origin is None else str(origin),
        inputs=_formats(content.get("Inputs")),
        outputs=_formats(content.get("Outputs")),
    )


def _formats(tensors: Any) -> tuple[str, ...]:
    """``Format/Datatype`` up to 10.x, ``Format`` and ``DataType`` from 11 on."""
    found = []
    for tensor in tensors if isinstance(tensors, list) else []:
        if isinstance(tensor, Mapping):
            parts = [tensor.get(key) for key in ("Format/Datatype", "DataType", "Format")]
            found.append(", ".join(str(part) for part in parts if part))
    return tuple(found)


def _read(path: Path, kind: str, shape: type) -> Any:
    try:
        return called.read_json(path, kind, shape)
    except RuntimeProblem as problem:
        raise _again(problem) from problem


def _wrong(path: Path, kind: str, found: str) -> BackendError:
    return _again(called.wrong(path, kind, found))


def _again(problem: RuntimeProblem) -> BackendError:
    return BackendError(str(problem), hint="build the engine again on the device")
