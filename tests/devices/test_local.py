"""This machine as it is, other machines from files as their kernels write them."""

import json
import platform

import pytest
from edgetune_runtime import machine

from edgetune.devices import DEVICES, local

ARM_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd0b
"""


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A Raspberry Pi 5's /proc and /sys, as far as they are read."""
    files = {
        "cpuinfo": ARM_CPUINFO,
        "meminfo": "MemTotal:        8245600 kB\nMemFree: 1 kB\n",
        "os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
        "sys/class/thermal/thermal_zone0/temp": "61250\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, file in {"CPUINFO": "cpuinfo", "MEMINFO": "meminfo", "OS_RELEASE": "os-release", "SYS": "sys"}.items():
        monkeypatch.setattr(machine, name, tmp_path / file)
    return tmp_path


def test_the_registry_names_this_module():
    assert DEVICES["local"] == local.__name__


def test_this_machine_is_described_in_json():
    device = local.describe()
    assert json.loads(json.dumps(device)) == device
    assert device["arch"] == platform.machine()
    assert device["cores"] >= device["cores_usable"] >= 1
    json.dumps(local.telemetry())


def test_a_board_is_described(board):
    device = local.describe()
    assert device["model"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert device["cpu"] == "Cortex-A76"
    assert device["cpu_features"] == ["asimd", "asimdhp", "asimddp"]
    assert device["memory_bytes"] == 8245600 * 1024
    assert device["os"] == "Debian GNU/Linux 12 (bookworm)"


def test_a_boards_state_is_read(board):
    state = local.telemetry()
    assert state["governor"] == "ondemand"
    assert state["clock_mhz"] == [1500]
    assert state["clock_max_mhz"] == 2400
    assert state["temperature_c"] == {"cpu-thermal (0)": 61.25}
    assert state["throttled_events"] == 3


def test_the_fingerprint_is_that_of_the_device_not_of_its_state(board, monkeypatch):
    before = local.fingerprint()
    (board / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").write_text("performance\n")
    (board / "meminfo").write_text("MemTotal: 8245000 kB\n")  # the kernel kept a little more
    monkeypatch.setattr(platform, "release", lambda: "9.9")
    assert local.fingerprint() == before
    (board / "cpuinfo").write_text(ARM_CPUINFO.replace("asimddp", ""))
    assert local.fingerprint() != before


def test_how_long_work_waited_for_a_processor_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert "cpu_pressure" not in local.telemetry()
    (tmp_path / "pressure").mkdir()
    lines = "some avg10=1.53 avg60=0.44 avg300=0.10 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    (tmp_path / "pressure/cpu").write_text(lines)
    first, second = (local.telemetry()["cpu_pressure"] for _ in range(2))
    assert first["waited_s"] == 2.5 and second["at_s"] >= first["at_s"]


def test_where_nothing_can_be_read_everything_is_unknown(tmp_path, monkeypatch):
    for name in ("CPUINFO", "MEMINFO", "OS_RELEASE", "SYS"):
        monkeypatch.setattr(machine, name, tmp_path / "absent")
    device, state = local.describe(), local.telemetry()
    assert device["model"] == device["memory_bytes"] == "unknown"
    assert device["cpu_features"] == []
    keys = ("governor", "clock_mhz", "clock_max_mhz", "temperature_c", "throttled_events")
    assert {state[key] for key in keys} == {"unknown"}
    local.fingerprint()


def test_macos_answers_through_sysctl(tmp_path, monkeypatch):
    for name in ("CPUINFO", "MEMINFO", "OS_RELEASE", "SYS"):
        monkeypatch.setattr(machine, name, tmp_path / "absent")
    answers = {"hw.model": "Mac14,2", "machdep.cpu.brand_string": "Apple M2", "hw.memsize": "17179869184"}
    monkeypatch.setattr(machine, "_sysctl", lambda name: answers[name])
    device = local.describe()
    assert (device["model"], device["cpu"], device["memory_bytes"]) == ("Mac14,2", "Apple M2", 2**34)


def test_a_board_s_tools_are_asked_and_nothing_else(board, monkeypatch):
    said = {"vcgencmd": "throttled=0x50004", "nvpmodel": "NV Power Mode: MAXN\n0"}
    monkeypatch.setattr(machine, "_said", lambda name, *_: said[name])
    state = local.telemetry()
    flags = ["throttled now", "under-voltage since boot", "throttled since boot"]
    assert state["throttle_flags"] == flags and state["power_mode"] == "MAXN"
    said["vcgencmd"] = "throttled=?"
    assert "throttle_flags" not in local.telemetry()


def test_emulation_shows_in_the_processor_the_parent_or_the_environment(board, monkeypatch):
    for name in ("EDGETUNE_EMULATED", "QEMU_CPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "PROC", board / "proc")
    assert not machine.emulated()
    monkeypatch.setenv("EDGETUNE_EMULATED", "1")
    assert machine.emulated()
    monkeypatch.setenv("EDGETUNE_EMULATED", "0")
    assert not machine.emulated()
    (board / "proc" / "1").mkdir(parents=True)
    (board / "proc" / "1" / "exe").symlink_to("/opt/bin/qemu-aarch64")
    assert machine.emulated()
    (board / "proc" / "1" / "exe").unlink()
    (board / "cpuinfo").write_text("model name\t: QEMU TCG CPU version 2.5+\n")
    assert machine.emulated()
