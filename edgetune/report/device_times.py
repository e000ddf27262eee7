"""What ``build_on_device.sh`` left on a device, read on the desk: latency of each engine, and its reformat layers.

These are times of trtexec, not edgetune's interleaved measurement, and nothing is known of accuracy: so they are told
for themselves and never become part of a report.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgetune.backends import trtexec
from edgetune.errors import InputError
from edgetune.measure.candidates import latency_summary
from edgetune.report import numbers

TIMES = ".times.json"
SHOWN = 3  # reformat layers told by name


def read_device_times(folder: Path) -> dict[str, Any]:
    """``device`` (as its script noted it) and ``engines``, the fastest first.

    Raises:
        InputError: no times are there. BackendError: a file that trtexec did not write to its end.
    """
    paths = sorted(folder.glob(f"*{TIMES}"))
    if not paths and (logs := sorted(folder.glob("*.log"))):
        raise InputError(
            f"no engine was built in {folder}", hint=f"see why in {', '.join(path.name for path in logs)} there"
        )
    if not paths:
        raise InputError(
            f"{folder} holds no *{TIMES}", hint="give the folder that build_on_device.sh wrote, `engines` beside it"
        )
    engines = [_engine(path) for path in paths]
    return {"device": _device(folder / "device.txt"), "engines": sorted(engines, key=lambda e: e["latency_ms"]["p50"])}


def device_times_text(found: Mapping[str, Any]) -> str:
    """The same as lines."""
    lines = [f"{key}: {value}" for key, value in found["device"].items()]
    for engine in found["engines"]:
        latency, layers = engine["latency_ms"], engine["reformat_layers"]
        lines.append(
            f"{engine['name']}: GPU time {numbers.milliseconds(latency['p50'])} median, "
            f"p90 {numbers.percentile(latency, 90)}, p99 {numbers.percentile(latency, 99)} ({latency['n']} runs)"
        )
        if layers:
            spent = sum(layer["average_ms"] or 0.0 for layer in layers)
            lines.append(
                f"  {len(layers)} reformat layers, {numbers.milliseconds(spent)} of its profile run; the slowest:"
            )
            lines += [f"    {numbers.milliseconds(layer['average_ms'])}  {layer['name']}" for layer in layers[:SHOWN]]
        if fallbacks := engine["gpu_fallbacks"]:
            lines.append(f"  {len(fallbacks)} layers that DLA did not take and the GPU runs:")
            lines += [
                f"    {layer['name']}: {layer['why'] or layer['kind'] or 'no reason given'}" for layer in fallbacks
            ]
    lines.append("Times of trtexec on that device, one engine after the other; accuracy was not measured there.")
    return "\n".join(lines)


def _engine(times: Path) -> dict[str, Any]:
    name = times.name.removesuffix(TIMES)
    layers, profile = times.with_name(f"{name}.layers.json"), times.with_name(f"{name}.profile.json")
    found = trtexec.reformat_layers(
        trtexec.read_layers(layers) if layers.exists() else [],
        trtexec.read_profile(profile) if profile.exists() else {},
    )
    latency = latency_summary(trtexec.read_times(times))
    log = times.with_name(f"{name}.log")
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return {
        "name": name,
        "gpu_fallbacks": [asdict(layer) for layer in trtexec.gpu_fallbacks(text)],
        "latency_ms": {key: latency[key] for key in ("p50", "p90", "p95", "p99", "p99_9", "n")},
        "reformat_layers": [asdict(layer) for layer in found],
    }


def _device(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = (line.partition(": ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {key: value.strip() for key, separator, value in rows if separator}
