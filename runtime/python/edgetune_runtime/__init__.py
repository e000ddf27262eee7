"""Run bundles made by edgetune. The desk measures engines through this package, so it is what the device runs."""

import os

# Before anything loads ONNX Runtime: it sends telemetry by default on some systems.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = [
    "BundleError",
    "DriftMonitor",
    "Engine",
    "InputError",
    "Observation",
    "Pipeline",
    "Preprocessing",
    "QueueFull",
    "RuntimeProblem",
    "__version__",
]

_HOMES = {
    "Engine": "engine",
    "Pipeline": "pipeline",
    "Observation": "observation",
    "DriftMonitor": "drift",
    "QueueFull": "errors",
    "Preprocessing": "preprocessing",
    "BundleError": "errors",
    "InputError": "errors",
    "RuntimeProblem": "errors",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module("edgetune_runtime." + _HOMES[name]), name)
    raise AttributeError(f"module 'edgetune_runtime' has no attribute {name!r}")
