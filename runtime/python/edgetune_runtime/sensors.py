"""What boards tell of power, protection and clocks: files of the kernel, and the lines of their makers' tools.

Standard library only; whatever cannot be read is left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
# Bits of `vcgencmd get_throttled` (raspberrypi.com/documentation/computers/os.html, "get_throttled").
PI_FLAGS = {
    0: "under-voltage now", 1: "clock capped now", 2: "throttled now", 3: "soft temperature limit now",
    16: "under-voltage since boot", 17: "clock capped since boot", 18: "throttled since boot",
    19: "soft temperature limit since boot",
}  # fmt: skip
# `tegrastats`: "VDD_IN 4963mW/4880mW" is now and the mean since it was started; releases before JetPack 5 leave out mW.
# RAM and SWAP are written "2823/7620MB", so that nothing but a power ends in a bare number or mW.
RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?!\S)")
GPU = re.compile(r"(?<!\S)GR3D_FREQ (\d+)%(?:@\[?(\d+))?")


def read_text(path: Path) -> str:
    """A file's text; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def said(*command: str) -> str:
    """What a tool that only reads prints; nothing where there is no such tool."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def throttle_flags(text: str) -> list[str] | None:
    """``vcgencmd get_throttled``'s answer, "throttled=0x50005", in words; None: it is none."""
    try:
        bits = int(text.partition("=")[2].strip(), 16)
    except ValueError:
        return None
    return [name for bit, name in PI_FLAGS.items() if bits >> bit & 1]


def power_mode(text: str) -> str | None:
    """``nvpmodel -q``'s mode, "NV Power Mode: MAXN" and its number in the next line; None: it told none."""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if "Power Mode" in line), None)


def tegrastats(line: str) -> dict[str, Any]:
    """``power_w`` of each rail and the GPU's load and clock, of one line of ``tegrastats``."""
    found: dict[str, Any] = {}
    if rails := {name: int(milliwatts) / 1000 for name, milliwatts in RAIL.findall(line)}:
        found["power_w"] = rails
    if gpu := GPU.search(line):
        found["gpu_load_percent"] = int(gpu[1])
        if gpu[2]:
            found["gpu_clock_mhz"] = int(gpu[2])
    return found


def overcurrent_events(sys: Path) -> int | None:
    """How often a Jetson Orin has slowed itself for current or voltage since boot (its driver ``soctherm_oc``)."""
    counts = [read_text(file).strip() for file in sys.glob("class/hwmon/hwmon*/oc*_event_cnt")]
    found = [int(text) for text in counts if text.isdigit()]
    return sum(found) if found else None


def power_w(sys: Path) -> dict[str, float]:
    """Watts of every monitor that the kernel's hwmon knows: those that tell a power, and INA's volts times amperes.

    ``in`` is in mV, ``curr`` in mA and ``power`` in uW (kernel.org/doc/Documentation/hwmon/sysfs-interface.rst).
    """
    found: dict[str, float] = {}
    for folder in sorted(sys.glob("class/hwmon/hwmon*")):
        name = read_text(folder / "name").strip() or folder.name
        powers = sorted((*folder.glob("power*_input"), *folder.glob("power*_average")))
        for file in powers:
            channel = file.name.partition("_")[0]
            label = read_text(folder / f"{channel}_label").strip()
            if (microwatts := _number(file)) is not None:
                found.setdefault(label or f"{name} {channel}", microwatts / 1e6)
        if powers or not name.startswith("ina"):
            continue
        for file in sorted(folder.glob("curr*_input")):
            channel = file.name.partition("_")[0].removeprefix("curr")
            millivolts, milliamperes = _number(folder / f"in{channel}_input"), _number(file)
            if millivolts is not None and milliamperes is not None:
                label = read_text(folder / f"in{channel}_label").strip() or f"{name} {channel}"
                found[label] = millivolts * milliamperes / 1e6
    return found


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


class Rapl:
    """Joules that the processor packages took since this was made; None: they are not told, or to root alone."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self.joules = 0.0
        self._last: dict[Path, int] = {}
        self._lock = threading.Lock()
        for folder in sorted(root.glob("intel-rapl:*")):  # AMD's are called so, too
            with suppress(OSError, ValueError):
                if (folder / "name").read_text().startswith("package"):
                    self._last[folder] = int((folder / "energy_uj").read_text())

    def read(self) -> float | None:
        """Look at the counters; to be called more often than they start again."""
        if not self._last:
            return None
        with self._lock:
            for folder, before in list(self._last.items()):
                try:
                    now = int((folder / "energy_uj").read_text())
                    if now < before:
                        self.joules += int((folder / "max_energy_range_uj").read_text()) / 1e6
                except (OSError, ValueError):
                    self._last.clear()
                    return None
                self.joules += (now - before) / 1e6
                self._last[folder] = now
            return self.joules


class RaplPower:
    """Watts of the processor packages between two looks."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._rapl = Rapl(root)
        self._last = (time.monotonic(), self._rapl.read())

    def read(self) -> dict[str, float]:
        """Their mean since the last look; nothing where it is not told."""
        now = (time.monotonic(), self._rapl.read())
        (then, before), self._last = self._last, now
        if before is None or now[1] is None or now[0] <= then:
            return {}
        return {"processor packages": (now[1] - before) / (now[0] - then)}
