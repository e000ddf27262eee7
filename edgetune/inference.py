"""Inference libraries a target may name as its ``backend``, and what the plan needs to know of each.

The code of one is ``edgetune.backends.NAME``; that it can be planned for is one entry here. No library is loaded.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

FORMAT = "format"  # of ONNX Runtime's engines: onnx | ort
OTHER_BUILDS = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino")}  # the same package, with other providers
OWN_OPTIONS = ("provider", "arena", "memory_pattern")  # how its sessions are opened


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceLibrary:
    """What an inference library can do."""

    title: str
    distribution: str | None = None  # whose version is part of the keys of steps that run engines
    dynamic_int8: bool = False  # whether it is fast at ranges taken while it runs, which encoders for text want
    times_layers: bool = (
        True  # whether single layers are timed to steer pruning; a TensorRT build of each takes minutes
    )
    over_ssh: bool = False  # whether the device side runs its engines


INFERENCE_LIBRARIES = {
    "onnxruntime": InferenceLibrary(title="ONNX Runtime", distribution="onnxruntime", dynamic_int8=True, over_ssh=True),
    "openvino": InferenceLibrary(title="OpenVINO", distribution="openvino"),
    "tensorrt": InferenceLibrary(title="TensorRT", over_ssh=True, times_layers=False),
}


def session_settings(backend: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """How engines are opened with a target's ``backend_options``; ``config`` is what the library itself is handed."""
    if backend != "onnxruntime":
        return {"config": dict(options)}
    own = {name: options[name] for name in OWN_OPTIONS if name in options}
    return {**own, "config": {name: value for name, value in options.items() if name not in (*OWN_OPTIONS, FORMAT)}}


def installed_version(distribution: str) -> str | None:
    """The version of what ``pip install`` knows by this name, or as another build of it; None: it is not installed."""
    for name in (distribution, *OTHER_BUILDS.get(distribution, ())):
        with suppress(PackageNotFoundError):
            return version(name)
    return None
