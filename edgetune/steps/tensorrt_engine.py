"""ONNX -> an engine of TensorRT, built on the device that runs it, with the builder's own account of it."""

import base64
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgetune_runtime.tensorrt_settings import TIED
from edgetune_runtime.trtexec import BUILD_SECONDS

from edgetune.backends import trtexec
from edgetune.backends.tensorrt import dla_core
from edgetune.backends.tensorrt_versions import find_release
from edgetune.errors import BackendError
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext

ONNX, PLAN = "engine.onnx", "engine.plan"
ACCOUNT = "build.json"  # beside the engine: what the builder told of it
KEPT = ("log", "times", "layers", "profile")


def build(context: StepContext, folder: Path, signature: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Write the ONNX file and the engine into ``folder``; returns the manifest's ``session`` and ``versions``.

    What trtexec said and measured while it built goes to ``build/``, and an account of it to ``build.json``: where the
    engine's layers run, what converting between formats costs.

    Args:
        signature: of the engine's input, as the manifest has it.

    Raises:
        BackendError: TensorRT refuses the file, or cannot build it. DeviceError: the device cannot do it.
    """
    assert context.device is not None  # engines of TensorRT are planned for devices only
    shutil.copyfile(context.inputs["onnx"] / "model.onnx", folder / ONNX)
    options = context.params["backend_options"]
    settings = {
        "family": find_release(options["version"]).family,
        "precision": context.params["precision"],
        "input": signature["name"],
        "sample": signature["shape"][1:],
        "dtype": signature["dtype"],
        "max_batch": options.get("max_batch", 1),
        "dla_core": dla_core(options),
        "plan": None,
    }
    pieces: dict[str, list[bytes]] = {}
    told = context.device.do(
        {"kind": "tensorrt_build", "backend": "tensorrt", "onnx": ONNX, "session": {"tensorrt": settings}},
        {ONNX: folder / ONNX},
        limit_seconds=BUILD_SECONDS + 60,
        progress=context.tick,
        part=lambda part: pieces.setdefault(part["file"], []).append(base64.b64decode(part["bytes"])),
    )
    if not pieces.get("plan"):
        raise BackendError(f"{context.device.name} built no engine", hint="run the same command again")
    (folder / PLAN).write_bytes(b"".join(pieces["plan"]))
    plan = {"file": PLAN, **{key: told["tied"][key] for key in TIED}}
    _keep(context, pieces, told, settings["dla_core"] is not None)
    versions = {**context.device.about()["versions"], "tensorrt": plan["tensorrt"]}
    return {"threads": 1, "config": {}, "tensorrt": {**settings, "plan": plan}}, versions


def _keep(context: StepContext, pieces: Mapping[str, list[bytes]], told: Mapping[str, Any], dla: bool) -> None:
    build = context.out / "build"
    build.mkdir()
    for name in KEPT:
        if content := b"".join(pieces.get(name, [])):
            (build / (f"{name}.txt" if name == "log" else f"{name}.json")).write_bytes(content)
    layers = trtexec.read_layers(build / "layers.json") if (build / "layers.json").exists() else []
    profile = trtexec.read_profile(build / "profile.json") if (build / "profile.json").exists() else {}
    account = {
        **{key: told[key] for key in ("by", "tied", "seconds", "workspace_mb")},
        "layers": len(layers),
        "reformat_layers": [asdict(layer) for layer in trtexec.reformat_layers(layers, profile)],
        "profile_ms": sum(profile.values()) if profile else None,
    }
    if dla:
        log = build / "log.txt"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        account["gpu_fallbacks"] = [asdict(layer) for layer in trtexec.gpu_fallbacks(text)]
    (context.out / ACCOUNT).write_text(canonical_json(account), encoding="utf-8")
    context.note("telemetry.json").write_text(canonical_json(told["telemetry"]), encoding="utf-8")
