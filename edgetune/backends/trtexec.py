"""trtexec, TensorRT's command line: how it is called, by family of releases, and how its JSON files are read.

Sources: ``samples/common/sampleOptions.cpp`` and ``sampleReporting.cpp`` in github.com/NVIDIA/TensorRT (8.4 to 10.x),
and NVIDIA's guide to migrating trtexec from 10.x to 11.x. Nothing here was run with the real trtexec yet.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.backends.tensorrt_versions import Release
from edgetune.errors import BackendError

# A network without types is given the precisions it may use. --stronglyTyped takes those of the ONNX file instead;
# 11 has removed the precision flags, and the types of the file always count.
PRECISION_FLAGS: dict[int, dict[str, tuple[str, ...]]] = {
    8: {"fp16": ("--fp16",), "int8": ("--fp16", "--int8")},
    10: {"fp16": ("--stronglyTyped",), "int8": ("--stronglyTyped",)},
    11: {"fp16": (), "int8": ()},
}
# The same for all families and precisions: latency of the engine alone, without copies and with the least of the host.
MEASURING = ("--useCudaGraph", "--noDataTransfers", "--useSpinWait", "--separateProfileRun")
DETAILED = "--profilingVerbosity=detailed"  # else layers are told by their names only
PERCENTILES = "--percentile=50,90,95,99"  # 8.x before 8.5 takes one only, and the raw times are exported anyway
BANNER = re.compile(r"\[TensorRT v([0-9.]+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where trtexec reads and writes for one engine."""

    onnx: str
    engine: str
    timing_cache: str
    times: str
    layers: str
    profile: str


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
    release: Release, files: Files, *, precision: str | None, shapes: str, workspace_mb: int | str, trtexec: str
) -> tuple[str, ...]:
    """The arguments that build, save and time one engine.

    Args:
        precision: ``fp16`` or ``int8``; None leaves these flags out (they are added later, as ``"$@"``).
        shapes: ``image:1x3x224x224``; the only shape the engine takes, as its batch is dynamic in the ONNX file.
        workspace_mb: MiB; text, for a variable of a shell.
    """
    return (
        trtexec,
        f"--onnx={files.onnx}",
        f"--saveEngine={files.engine}",
        f"--shapes={shapes}",
        *(precision_flags(release, precision) if precision else ()),
        f"--memPoolSize=workspace:{workspace_mb}",
        f"--timingCacheFile={files.timing_cache}",
        *MEASURING,
        DETAILED,
        *((PERCENTILES,) if release.family >= 10 else ()),
        f"--exportTimes={files.times}",
        f"--exportLayerInfo={files.layers}",
        f"--exportProfile={files.profile}",
    )


def precision_flags(release: Release, precision: str) -> tuple[str, ...]:
    """What tells TensorRT the arithmetic of an engine; FP16 may always be used beside INT8."""
    return PRECISION_FLAGS[release.family][precision]


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The version in trtexec's first line: ``[TensorRT v8602]``, ``v100300`` or ``v11.1.0.106``; None: not there."""
    match = BANNER.search(text)
    if match is None:
        return None
    numbers = match.group(1).strip(".").split(".")
    if len(numbers) > 1:
        major, minor, patch = (int(number or 0) for number in (*numbers, "0")[:3])
        return major, minor, patch
    number = int(numbers[0] or 0)
    hundreds = 10 if number < 10_000 else 100  # from 10 on, two digits for the minor version
    return number // (100 * hundreds), number // 100 % hundreds, number % 100


def read_times(path: Path) -> list[float]:
    """GPU compute time of each timed inference, in ms, in order, from ``--exportTimes``.

    Raises:
        BackendError: not such a file, or no inference in it.
    """
    rows = _read(path, "times", list)
    try:
        values = [float(row["computeMs"]) for row in rows]
    except (KeyError, TypeError, ValueError) as problem:
        raise _wrong(path, "times", f"an inference without a computeMs ({problem})") from problem
    if not values or not all(0 <= value < float("inf") for value in values):
        raise _wrong(path, "times", "no inference, or a time below 0")
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
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as problem:
        raise BackendError(f"cannot read {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise _wrong(path, kind, "not JSON; was trtexec stopped while it wrote?") from problem
    if not isinstance(content, shape):
        raise _wrong(path, kind, f"a JSON {type(content).__name__}")
    return content


def _wrong(path: Path, kind: str, found: str) -> BackendError:
    return BackendError(
        f"{path.name} does not hold trtexec's {kind}: {found}", hint="build the engine again on the device"
    )
