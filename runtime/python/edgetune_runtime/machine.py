"""The machine this runs on: what it is, and the state it is in. Linux in full, other systems as far as they tell.

Nothing here fails, and nothing is changed: what cannot be read is ``"unknown"``.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetune_runtime import sensors
from edgetune_runtime.sensors import read_text as _read
from edgetune_runtime.sensors import said as _said

UNKNOWN = "unknown"
CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
SYS = Path("/sys")
PROC = Path("/proc")
OS_RELEASE = Path("/etc/os-release")
# What decides which kernels an inference library takes, as /proc/cpuinfo spells it.
FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c",
    "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
# Arm's /proc/cpuinfo gives numbers (MIDR); the parts that edge boards have.
ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78", "0xd42": "Cortex-A78AE", "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}  # fmt: skip

# What a driver makes when it finds its device.
ACCELERATORS = {
    "/dev/nvidiactl": "NVIDIA GPU", "/dev/hailo0": "Hailo", "/dev/apex_0": "Coral Edge TPU", "/dev/accel/accel0": "NPU",
    "/dev/rknpu": "Rockchip NPU",
}  # fmt: skip


def describe() -> dict[str, Any]:
    """What the device is: model, processor, features, memory, system. Plain JSON values."""
    return {
        "name": "local",
        "model": _device_model(),
        "cpu": _cpu_model(),
        "arch": platform.machine() or UNKNOWN,
        "cpu_features": cpu_features(),
        "cores": os.cpu_count() or UNKNOWN,
        "cores_usable": _usable_cores(),
        "memory_bytes": _memory_bytes(),
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}".strip() or UNKNOWN,
        "python": platform.python_version(),
        "emulated": emulated(),
        "accelerators": _accelerators(),
    }


def emulated() -> bool:
    """Whether another processor plays this one, so that its clock says nothing of a device's.

    Emulation of single programs (qemu-user) shows in the programs that started this one; a whole emulated machine in
    the processor's name. ``EDGETUNE_EMULATED=1`` says so where neither tells. A virtual machine whose processor is
    real (KVM) is not emulated.
    """
    if os.environ.get("EDGETUNE_EMULATED", "") not in ("", "0") or "QEMU_CPU" in os.environ:
        return True
    if any(name in _read(CPUINFO) for name in ("QEMU TCG", "QEMU Virtual CPU")):
        return True
    return any("qemu-" in _program(process) for process in ("1", str(os.getppid())))


def versions() -> dict[str, str]:
    """Versions of Python, numpy and ONNX Runtime; "missing" where there is none."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "onnxruntime"):
        try:
            found[name] = str(getattr(importlib.import_module(name), "__version__", UNKNOWN))
        except Exception:  # noqa: BLE001 - a library that breaks while it is loaded is as good as none
            found[name] = "missing"
    return found


def telemetry() -> dict[str, Any]:
    """The state the device is in now: what ``changing`` tells, its highest clock, load, a Jetson's power mode.

    ``cpu_pressure`` has the seconds in which some task waited for a processor (``waited_s``, since boot) and the time
    ``at_s``; left out where the kernel does not tell it.
    """
    found = {
        **changing(),
        "clock_max_mhz": max((_khz_to_mhz(_read(p / "cpuinfo_max_freq")) for p in _policies()), default=0) or UNKNOWN,
        "load_average": _load_average(),
    }
    if mode := _said("nvpmodel", "-q"):
        found["power_mode"] = sensors.power_mode(mode) or UNKNOWN
    if waited := re.search(r"^some .*\btotal=(\d+)", _read(PROC / "pressure/cpu"), re.MULTILINE):
        found["cpu_pressure"] = {"waited_s": int(waited[1]) / 1e6, "at_s": time.monotonic()}
    return found


def changing() -> dict[str, Any]:
    """What may change from second to second: governor, clocks in MHz, temperatures in degrees C, throttling.

    ``throttle_flags`` are a Raspberry Pi's, ``overcurrent_events`` a Jetson's; elsewhere they are left out.
    """
    policies = _policies()
    found = {
        "governor": _same(_read(policy / "scaling_governor") for policy in policies),
        "clock_mhz": _clocks(policies),
        "temperature_c": _temperatures(),
        "throttled_events": _throttled_events(),
    }
    flags, events = sensors.throttle_flags(_said("vcgencmd", "get_throttled")), sensors.overcurrent_events(SYS)
    if flags is not None:
        found["throttle_flags"] = flags
    if events is not None:
        found["overcurrent_events"] = events
    return found


def cpu_features() -> list[str]:
    """Those of ``FEATURES`` that this processor has, in that order; empty where it cannot be read."""
    have = set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())
    return [name for name in FEATURES if name in have]


# --- what it is -----------------------------------------------------------------------------


def _device_model() -> str:
    for file in ("firmware/devicetree/base/model", "devices/virtual/dmi/id/product_name"):
        if text := _read(SYS / file).strip("\0 \n"):
            return text
    return _sysctl("hw.model") or UNKNOWN


def _cpu_model() -> str:
    part = _cpuinfo("CPU part")
    if part.lower() in ARM_PARTS:  # some kernels give a "model name" too, which says no more than "ARMv8"
        return ARM_PARTS[part.lower()]
    if name := _cpuinfo("model name") or _cpuinfo("Model"):
        return name
    if part:
        return f"Arm part {part}"
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or UNKNOWN


def _cpuinfo(key: str) -> str:
    """The first value of ``key`` in /proc/cpuinfo, or nothing."""
    for line in _read(CPUINFO).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _accelerators() -> list[str]:
    """GPUs and neural processors whose drivers show; empty where none does."""
    found = sorted({name for file, name in ACCELERATORS.items() if Path(file).exists()})
    jetson = _read(Path("/etc/nv_tegra_release")).partition("\n")[0].strip("# ")
    return found + ([f"NVIDIA Tegra ({jetson})"] if jetson else [])


def _usable_cores() -> int | str:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or UNKNOWN


def _memory_bytes() -> int | str:
    for line in _read(MEMINFO).splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    total = _sysctl("hw.memsize")
    return int(total) if total.isdigit() else UNKNOWN


def _os_name() -> str:
    for line in _read(OS_RELEASE).splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return f"{platform.system()} {platform.mac_ver()[0]}".strip() or UNKNOWN


def _sysctl(name: str) -> str:
    """macOS's answer, or nothing."""
    if platform.system() != "Darwin":
        return ""
    try:
        return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


# --- the state it is in ---------------------------------------------------------------------


def _policies() -> list[Path]:
    return sorted(SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq"))


def _clocks(policies: Iterable[Path]) -> list[int] | str:
    clocks = [_khz_to_mhz(_read(policy / "scaling_cur_freq")) for policy in policies]
    if not any(clocks):  # virtual machines have no cpufreq, but often tell a clock in cpuinfo
        lines = (line.partition(":") for line in _read(CPUINFO).splitlines())
        clocks = [_number(value) for name, _, value in lines if name.strip() == "cpu MHz"]
    return clocks if any(clocks) else UNKNOWN


def _temperatures() -> dict[str, float] | str:
    found: dict[str, float] = {}
    for zone in sorted(SYS.glob("class/thermal/thermal_zone*")):
        millidegrees = _read(zone / "temp").strip()
        if millidegrees.lstrip("-").isdigit():
            kind = _read(zone / "type").strip() or "zone"
            found[f"{kind} ({zone.name.removeprefix('thermal_zone')})"] = int(millidegrees) / 1000
    return found or UNKNOWN


def _throttled_events() -> int | str:
    """How often the cores have been slowed for heat since boot (x86 only); differences are what counts."""
    texts = [_read(file).strip() for file in SYS.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")]
    counts = [int(text) for text in texts if text.isdigit()]
    return sum(counts) if counts else UNKNOWN


def _program(process: str) -> str:
    """The file name of a running program, or nothing."""
    try:
        return (PROC / process / "exe").readlink().name
    except OSError:
        return ""


def _load_average() -> list[float] | str:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):
        return UNKNOWN


def _same(texts: Iterable[str]) -> str:
    return ", ".join(sorted({text.strip() for text in texts if text.strip()})) or UNKNOWN


def _khz_to_mhz(text: str) -> int:
    return round(_number(text) / 1000)


def _number(text: str) -> int:
    try:
        return round(float(text))
    except ValueError:
        return 0
