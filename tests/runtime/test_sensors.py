"""Parsers against what the makers' tools print, and power from a tree as the kernel lays it out.

No such board is at hand: the answers are those that the tools' documentation and their users show.
"""

import pytest
from edgetune_runtime import sensors
from hypothesis import given
from hypothesis import strategies as st

ORIN_NANO = (
    "11-05-2023 14:32:01 RAM 2823/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) CPU [12%@1510,3%@1510,off,off,0%@729,"
    "1%@729] EMC_FREQ 0%@2133 GR3D_FREQ 99%@[624] NVENC off NVDEC off OFA off APE 174 cpu@48.5C soc2@47.6C tj@49.1C "
    "VDD_IN 4963mW/4880mW VDD_CPU_GPU_CV 680mW/654mW VDD_SOC 1480mW/1476mW"
)
NANO = (
    "RAM 1903/3964MB (lfb 11x4MB) IRAM 0/252kB(lfb 252kB) CPU [10%@102,4%@102,0%@102,0%@102] EMC_FREQ 0% GR3D_FREQ 0% "
    "PLL@25C CPU@28.5C GPU@28C thermal@28.25C POM_5V_IN 1022/1050 POM_5V_GPU 0/0 POM_5V_CPU 124/130"
)


def test_tegrastats_of_two_generations():
    found = sensors.tegrastats(ORIN_NANO)
    assert found["power_w"] == {"VDD_IN": 4.963, "VDD_CPU_GPU_CV": 0.68, "VDD_SOC": 1.48}
    assert (found["gpu_load_percent"], found["gpu_clock_mhz"]) == (99, 624)
    older = sensors.tegrastats(NANO)
    assert older["power_w"] == {"POM_5V_IN": 1.022, "POM_5V_GPU": 0.0, "POM_5V_CPU": 0.124}
    assert older["gpu_load_percent"] == 0 and "gpu_clock_mhz" not in older


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("throttled=0x0", []),
        (
            "throttled=0x50005",
            ["under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot"],
        ),
        ("throttled=0x80008\n", ["soft temperature limit now", "soft temperature limit since boot"]),
        ("VCHI initialization failed", None),
        ("", None),
    ],
)
def test_throttle_flags(text, flags):
    assert sensors.throttle_flags(text) == flags


def test_power_mode():
    assert sensors.power_mode("NV Fan Mode:quiet\nNV Power Mode: 15W\n0") == "15W"
    assert sensors.power_mode("NVPM ERROR: Failed to read PMODEL") is None


@given(st.text())
def test_no_text_breaks_a_parser(text):
    assert all(watts >= 0 for watts in sensors.tegrastats(text).get("power_w", {}).values())
    sensors.power_mode(text)
    flags = sensors.throttle_flags(text)
    assert flags is None or set(flags) <= set(sensors.PI_FLAGS.values())


def test_power_of_monitors_that_the_kernel_knows(tmp_path):
    files = {
        "hwmon0/name": "ina3221", "hwmon0/in1_label": "VDD_IN", "hwmon0/in1_input": "5080", "hwmon0/curr1_input": "976",
        "hwmon0/in2_input": "5000", "hwmon0/curr2_input": "100", "hwmon0/in4_input": "1",  # a shunt's voltage
        "hwmon1/name": "amdgpu", "hwmon1/power1_average": "7500000", "hwmon1/power1_label": "PPT",
        "hwmon2/name": "ina226", "hwmon2/power1_input": "2500000", "hwmon2/in1_input": "9", "hwmon2/curr1_input": "9",
        "hwmon3/name": "coretemp", "hwmon3/in1_input": "5000", "hwmon3/curr1_input": "100",
        "hwmon4/name": "soctherm_oc", "hwmon4/oc1_event_cnt": "2", "hwmon4/oc3_event_cnt": "5",
        "hwmon5/name": "ina219", "hwmon5/power1_input": "no number",
    }  # fmt: skip
    assert sensors.power_w(tmp_path) == {} and sensors.overcurrent_events(tmp_path) is None
    for name, text in files.items():
        path = tmp_path / "class/hwmon" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    found = sensors.power_w(tmp_path)
    assert found == pytest.approx({"VDD_IN": 4.95808, "ina3221 2": 0.5, "PPT": 7.5, "ina226 power1": 2.5})
    assert sensors.overcurrent_events(tmp_path) == 7


def test_power_of_packages_is_the_mean_since_the_last_look(tmp_path, monkeypatch):
    folder = tmp_path / "intel-rapl:0"
    folder.mkdir()
    for name, text in {"name": "package-0", "energy_uj": "9000000", "max_energy_range_uj": "10000000"}.items():
        (folder / name).write_text(text)
    clock = iter([10.0, 12.0, 12.0, 13.0])
    monkeypatch.setattr(sensors.time, "monotonic", lambda: next(clock))
    power = sensors.RaplPower(tmp_path)
    (folder / "energy_uj").write_text("1000000")  # it began again at zero
    assert power.read() == {"processor packages": pytest.approx(1.0)}
    assert power.read() == {}  # no time has passed
    (folder / "energy_uj").unlink()
    assert power.read() == {}
