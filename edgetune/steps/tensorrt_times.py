"""Latency of TensorRT's engines on their device: trtexec times them in turn, and tells what their layers cost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetune.bundle.manifest import read_manifest
from edgetune.devices.protocol import Device
from edgetune.errors import MeasureError
from edgetune.measure.remote import PATIENCE_SECONDS
from edgetune.steps.context import StepContext
from edgetune.steps.tensorrt_engine import ACCOUNT

SHOWN = 5  # layers told by name
CLOCK = "computeMs of trtexec: the GPU alone, without copies and without the runtime"


def by_trtexec(device: Device, folders: Mapping[str, Path]) -> bool:
    """Whether the device has trtexec for these engines; else the runtime is timed, copies and all."""
    tensorrt = device.about().get("tensorrt")
    ours = all(read_manifest(folder)["backend"] == "tensorrt" for folder in folders.values())
    return ours and tensorrt is not None and tensorrt["trtexec"] != "unknown"


def timed_by_trtexec(device: Device, folders: Mapping[str, Path], context: StepContext) -> dict[str, Any]:
    """The content of ``latency.json``; ``builds`` holds what each engine's builder told.

    Raises:
        MeasureError: the device's clock is not a device's. BackendError: an engine does not run.
    """
    params, about = context.params, device.about()
    if about["device"]["emulated"]:
        raise MeasureError(f"{device.name} is emulated: nothing is timed there")
    engines, files = [], {}
    for number, (name, folder) in enumerate(folders.items()):
        session = read_manifest(folder)["session"]
        place = f"{number}.plan"
        files[place] = folder / session["tensorrt"]["plan"]["file"]
        engines.append({"name": name, "file": place, "session": session})
    found = device.do(
        {
            "kind": "tensorrt_times",
            "backend": "tensorrt",
            "engines": engines,
            "spec": dict(params),
            "seed": context.seed,
        },
        files,
        limit_seconds=PATIENCE_SECONDS + 3 * params["max_seconds"] * len(engines),
        progress=context.tick,
    )
    told = {"name": device.name, "versions": about["versions"], "tensorrt": found["tensorrt"], "clock": CLOCK}
    return {
        "unit": "ms",
        "batch": 1,
        "threads": params["threads"],
        "engines": found["raw"],
        "peak_rss_bytes": found["peak_rss_bytes"],
        "device": {**found["device"], **told},
        "telemetry": found["telemetry"],
        "builds": {name: json.loads((folder.parent / ACCOUNT).read_text("utf-8")) for name, folder in folders.items()},
    }


def built_reasons(measured: Mapping[str, Any]) -> list[str]:
    """Sentences on what the builder made of the engines: layers that only convert, layers that DLA did not take."""
    said = []
    for name, account in measured.get("builds", {}).items():
        reformats, fallbacks = account["reformat_layers"], account.get("gpu_fallbacks")
        if reformats:
            spent = sum(layer["average_ms"] or 0.0 for layer in reformats)
            share = f", {spent / account['profile_ms']:.0%} of its profile run" if account["profile_ms"] else ""
            said.append(
                f"{name}: {len(reformats)} of {account['layers']} layers only convert formats: {spent:.3g} ms{share}."
            )
        if fallbacks:
            named = ", ".join(_told(layer) for layer in fallbacks[:SHOWN])
            more = f" and {len(fallbacks) - SHOWN} more" if len(fallbacks) > SHOWN else ""
            said.append(f"{name}: the deep-learning accelerator did not take {named}{more}; the GPU runs them.")
    return said


def _told(layer: Mapping[str, Any]) -> str:
    return f"{layer['name']} ({layer['why'] or layer['kind'] or 'no reason given'})"
