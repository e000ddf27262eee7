"""A machine is told once, in words and units, and its state as one table."""

from edgetune.report.machine import fact_rows, machines, other_rows, state_rows

FACTS = {"cpu": "AMD EPYC 9R14", "cpu_features": ["avx2", "avx512_vnni"], "memory_bytes": 25_276_502_016}


def test_a_machine_that_built_and_was_timed_on_is_told_once():
    timed = {**FACTS, "threads": 1, "before": {"governor": "unknown"}, "after": {"governor": "unknown"}}
    targets = [{"target": "x86-cpu", "device": timed}, {"target": "x86-cpu-openvino", "device": timed}]
    data = {"targets": targets, "environment": {"machine": FACTS, "versions": {"torch": "2.14.0"}}}
    (one,) = machines(data)
    assert one.caption == "The device of x86-cpu and x86-cpu-openvino, on which this was built too."
    assert ("memory", "25.3 GB") in one.facts and ("instruction sets", "avx2, avx512_vnni") in one.facts
    assert [name for name, _ in one.states] == ["x86-cpu", "x86-cpu-openvino"]
    assert other_rows(data) == [("versions.torch", "2.14.0")]


def test_a_device_elsewhere_and_the_machine_of_the_build_are_two():
    board = {**FACTS, "cpu": "Cortex-A76"}
    data = {"targets": [{"target": "arm-cpu", "device": board}], "environment": {"machine": FACTS}}
    assert [one.caption for one in machines(data)] == ["The device of arm-cpu.", "The machine on which this was built."]
    data["targets"] = [{"target": "jetson", "device": None}]
    assert [one.facts for one in machines(data)] == [fact_rows(FACTS)]


def test_states_stand_side_by_side_with_their_units():
    telemetry = {
        "before": {"clock_mhz": [600, 2400], "temperature_c": {"cpu": 48.25}, "load_average": [0.1, 0.2, 0.3]},
        "during": {
            "looks": 12,
            "clock_mhz": [2400, 2400],
            "temperature_max_c": {"cpu": 61.0},
            "power_mean_w": {"V": 5},
        },
        "after": {"clock_mhz": "unknown", "throttle_flags": []},
    }
    rows = {what: cells for what, *cells in state_rows(telemetry)}
    assert rows["clock"] == ["600 to 2400 MHz", "2400 MHz", "unknown"]
    assert rows["temperature"] == ["cpu 48.25 °C", "cpu 61 °C", "–"]
    assert rows["power"] == ["–", "V 5 W", "–"]
    assert rows["load over 1, 5, 15 min"][0] == "0.1, 0.2, 0.3"
    assert rows["throttle flags"] == ["–", "–", "none"]
    assert state_rows({"cpu": "no state"}) == []
