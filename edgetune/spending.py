"""What work costs: time, memory, and energy where the machine tells it.

Energy of processors is that of Linux's powercap tree (RAPL: whole packages, whatever else runs on them), of NVIDIA
GPUs that of the driver's counter (NVML ``nvmlDeviceGetTotalEnergyConsumption``, Volta or newer). Where neither can be
read the energy is unknown, which is None."""

import ctypes
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from edgetune_runtime.sensors import Rapl

NVML = "libnvidia-ml.so.1"
POLL_SECONDS = 30.0  # RAPL's counters start again at zero; a package of 1 kW takes minutes for it
KINDS = ("processor", "gpu")


def gpu_joules() -> float | None:
    """The energy counter of the GPU that torch uses in this process; None: no such GPU, or it does not tell."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    try:
        library = ctypes.CDLL(NVML)
        uuid = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        failed = library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device))
        if failed or library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
            return None
    except (OSError, AttributeError):
        return None
    return millijoules.value / 1e3


class Meter:
    """Open around some work; ``read`` then tells what it cost."""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts again from here
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
        self._rapl, self._gpu = Rapl(), gpu_joules()
        self._ended = threading.Event()
        if self._rapl.read() is not None:
            threading.Thread(target=self._poll, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def read(self) -> dict[str, Any]:
        """Seconds, processes, peaks of memory in bytes, energy in joules; None: unknown."""
        torch, gpu = sys.modules.get("torch"), gpu_joules()
        used_gpu = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
        if gpu is not None:  # a GPU that was first used in here has counted since the driver was loaded
            gpu = gpu - self._gpu if self._gpu is not None else None
        return {
            "seconds": round(time.monotonic() - self._started, 3),
            "devices": int(os.environ.get("WORLD_SIZE", "1")),
            "peak_rss_bytes": peak_rss(),
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if used_gpu and torch is not None else None,
            "energy_joules": {"processor": self._rapl.read(), "gpu": gpu},
        }

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._rapl.read()


def peak_rss() -> int:
    """The most memory this process had, in bytes, since its peak was last forgotten (on Linux)."""
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def added(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """The cost of work that was interrupted (``before``) and gone on with."""
    if not before:
        return dict(now)
    peaks = {
        key: max((cost[key] for cost in (before, now) if cost[key] is not None), default=None)
        for key in ("peak_rss_bytes", "peak_gpu_bytes")
    }
    energies = {kind: _sum(cost["energy_joules"][kind] for cost in (before, now)) for kind in KINDS}
    seconds = round(before["seconds"] + now["seconds"], 3)
    return {"seconds": seconds, "devices": now["devices"], **peaks, "energy_joules": energies}


def remember(path: Path, cost: Mapping[str, Any]) -> None:
    """Keep the cost of work that ended before it was done."""
    with suppress(OSError):
        path.write_text(json.dumps(cost), encoding="utf-8")


def remembered(path: Path) -> dict[str, Any] | None:
    """What ``remember`` kept; None: nothing that reads."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found if found and added(found, found) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def total(steps: Iterable[Mapping[str, Any]], per_hour: float | None, currency: str) -> dict[str, Any]:
    """The cost of a report's steps together, and of those that were run this time.

    Args:
        steps: with ``seconds``, ``cached`` and ``cost`` (a ``Meter``'s reading, or None).
        per_hour: money for an hour of one device; None: not told.
    """
    rows = list(steps)
    costs = [row["cost"] for row in rows if row.get("cost")]
    hours = {cached: sum(_hours(row) for row in rows if row["cached"] is cached) for cached in (True, False)}
    whole = hours[True] + hours[False]
    metered = len(costs) == len(rows)
    return {
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "device_hours": whole,
        "device_hours_this_time": hours[False],
        "peak_rss_bytes": max((cost["peak_rss_bytes"] for cost in costs), default=None),
        "peak_gpu_bytes": max((cost["peak_gpu_bytes"] for cost in costs if cost["peak_gpu_bytes"]), default=None),
        "energy_joules": {
            kind: _sum(cost["energy_joules"][kind] for cost in costs) if metered else None for kind in KINDS
        },
        "money": None if per_hour is None else per_hour * whole,
        "money_this_time": None if per_hour is None else per_hour * hours[False],
        "currency": currency,
    }


def _hours(row: Mapping[str, Any]) -> float:
    devices = (row.get("cost") or {}).get("devices", 1)
    return float(row["seconds"]) * int(devices) / 3600


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None where a part is unknown."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)
