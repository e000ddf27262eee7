"""How OpenVINO runs an engine: on the CPU, with settings of which nothing is left to its guesses."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# OpenVINO's package reports its own import to Google Analytics unless this module is missing; it is, then.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

from edgetune_runtime.errors import BundleError  # noqa: E402

TITLE = f"OpenVINO {ov.__version__.split('-')[0]}"
SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",  # without it float32 layers are computed in bfloat16 where a processor can
    "ENABLE_CPU_PINNING": "NO",  # the system places threads, as it does those of other engines timed beside it
}
TYPES = {
    "f32": "tensor(float)", "f64": "tensor(double)", "f16": "tensor(float16)", "boolean": "tensor(bool)",
    "i8": "tensor(int8)", "i16": "tensor(int16)", "i32": "tensor(int32)", "i64": "tensor(int64)",
    "u8": "tensor(uint8)", "u16": "tensor(uint16)", "u32": "tensor(uint32)", "u64": "tensor(uint64)",
}  # fmt: skip
RESULT = "/sink_port_0"  # what OpenVINO appends to the name of an output

_core = ov.Core()


class Port:
    """An input or output as ONNX Runtime describes one; a free dimension is None."""

    def __init__(self, port: Any) -> None:
        names, own = port.get_names(), port.node.get_friendly_name().removesuffix(RESULT)
        self.name: str = own if own in names or not names else min(names)
        self.type = TYPES.get(port.element_type.get_type_name(), port.element_type.get_type_name())
        shape = port.partial_shape
        self.shape = [] if shape.rank.is_dynamic else [None if d.is_dynamic else d.get_length() for d in shape]


class Session:
    """A compiled model with the methods of ``onnxruntime.InferenceSession`` that edgetune uses."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self._inputs, self._outputs = [Port(port) for port in compiled.inputs], [Port(p) for p in compiled.outputs]
        self._positions = {port.name: number for number, port in enumerate(self._outputs)}
        self._infer = compiled.create_infer_request().infer

    def get_inputs(self) -> list[Port]:
        """In the file's order."""
        return self._inputs

    def get_outputs(self) -> list[Port]:
        """In the file's order."""
        return self._outputs

    def run(self, names: list[str] | None, feed: dict[str, Any]) -> list[Any]:
        """The outputs called ``names``, all for None, as arrays of their own."""
        found = self._infer(feed)
        return [found[self._positions[name]] for name in names or self._positions]


class Profiled:
    """A compiled model that notes what each operator took."""

    def __init__(self, model: Path, wanted: dict[str, Any], threads: int) -> None:
        self._request = _compiled(model, wanted, threads, {"PERF_COUNT": True}).create_infer_request()
        self._found: dict[tuple[str, str], list[float]] = {}

    def run(self, feed: Mapping[str, Any]) -> None:
        """One inference."""
        self._request.infer(dict(feed))
        for told in self._request.get_profiling_info():
            if told.status == ov.ProfilingInfo.Status.EXECUTED:
                key = told.node_name, told.node_type
                self._found.setdefault(key, []).append(told.real_time.total_seconds() * 1e3)

    def told(self) -> list[tuple[str, str, list[float]]]:
        """(node, operator, milliseconds of each inference)."""
        return [(*key, times) for key, times in self._found.items()]


open_profiled = Profiled


def open_engine(model: Path | bytes, wanted: dict[str, Any], threads: int) -> Session:
    """A session on the CPU for an ONNX file, or for its content; see ``session.open_session``."""
    return Session(_compiled(model, wanted, threads, {}))


def _compiled(model: Path | bytes, wanted: dict[str, Any], threads: int, more: dict[str, Any]) -> Any:
    config = wanted.get("config", {})
    if unknown := sorted(set(config) - set(SETTINGS)):  # CACHE_DIR, for one, would write where a bundle says
        raise BundleError(f"the bundle sets {', '.join(unknown)} of OpenVINO, which no bundle of edgetune's does")
    settings = {**SETTINGS, **config, "INFERENCE_NUM_THREADS": threads, **more}
    content = model if isinstance(model, bytes) else str(model)
    return _core.compile_model(_core.read_model(content), "CPU", settings)
