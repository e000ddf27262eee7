"""A target file for a machine that was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgetune.records import Target
from edgetune.target import same_arch


def nearest_target(about: Mapping[str, Any], targets: Sequence[Target]) -> Target | None:
    """The shipped CPU target that ``about`` (of ``edgetune_runtime.agent.look``) has the features of.

    Of several, the one that asks for a feature comes before one that asks for none. None: there is no such target.
    """
    device = about["device"]
    fitting = [
        target
        for target in targets
        if target.backend == "onnxruntime"
        and target.arch != "any"
        and same_arch(target, device["arch"])
        and (not target.cpu_features or set(target.cpu_features) & set(device["cpu_features"]))
    ]
    # Dot products are a later feature than the vector units that older targets ask for.
    return min(fitting, key=lambda t: (not t.cpu_features, "avx2" in t.cpu_features), default=None)


def target_file(about: Mapping[str, Any], parent: Target) -> str:
    """TOML of a target that extends ``parent`` with what the machine is."""
    device, versions, telemetry = about["device"], about["versions"], about["telemetry"]
    board = device["model"] if device["model"] != "unknown" else device["cpu"]
    cores = device["cores_usable"]
    threads = sorted({1, cores}) if isinstance(cores, int) else [1]
    seen = {
        "processor": device["cpu"],
        "features that kernels are chosen by": ", ".join(device["cpu_features"]) or "none known",
        "cores": cores,
        "system": f"{device['os']}, {device['kernel']}",
        "python, numpy, onnxruntime": ", ".join(versions[key] for key in ("python", "numpy", "onnxruntime")),
        "governor": telemetry["governor"],
        "highest clock, MHz": telemetry["clock_max_mhz"],
        "temperatures, C": telemetry["temperature_c"],
        "power mode": telemetry.get("power_mode"),
        "accelerators": ", ".join(device.get("accelerators", [])) or None,
    }
    lines = [f"# {key}: {_one_line(value)}" for key, value in seen.items() if value not in (None, "unknown")]
    if device["emulated"]:
        lines.append("# emulated: accuracy can be measured there, latency cannot")
    lines += [f"extends = {_quoted(parent.name)}", f"summary = {_quoted(f'{board}, {cores} cores')}"]
    if isinstance(device["memory_bytes"], int):
        lines.append(f"memory_mb = {device['memory_bytes'] >> 20}")
    lines.append(f"threads = [{', '.join(map(str, threads))}]")
    return "\n".join(lines) + "\n"


def _one_line(value: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value))


def _quoted(text: str) -> str:
    """A TOML basic string; what a device says of itself is not trusted to be one."""
    return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
