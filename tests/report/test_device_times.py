"""Files as trtexec writes them, read back: percentiles by their floors, reformat layers by their cost."""

import json

import pytest

from edgetune.errors import BackendError, InputError
from edgetune.report.device_times import device_times_text, read_device_times


@pytest.fixture
def engines(tmp_path):
    for name, milliseconds, runs in (("float", 2.0, 700), ("int8", 1.25, 50)):
        times = [{"computeMs": milliseconds + 0.001 * (i % 7)} for i in range(runs)]
        (tmp_path / f"{name}.times.json").write_text(json.dumps(times))
    reformat = {"Name": "to int8", "LayerType": "Reformat", "Inputs": [], "Outputs": [], "Origin": "QDQ"}
    (tmp_path / "int8.layers.json").write_text(json.dumps({"Layers": [reformat, {"Name": "a", "LayerType": "Conv"}]}))
    (tmp_path / "int8.profile.json").write_text('[{"count": 9}, {"name": "to int8", "averageMs": 0.25}]')
    (tmp_path / "device.txt").write_text("model: NVIDIA Jetson Orin Nano\npower mode: unknown\nnonsense\n")
    return tmp_path


def test_the_fastest_comes_first_with_what_its_reformats_cost(engines):
    found = read_device_times(engines)
    assert [engine["name"] for engine in found["engines"]] == ["int8", "float"]
    assert found["device"] == {"model": "NVIDIA Jetson Orin Nano", "power mode": "unknown"}
    int8 = found["engines"][0]
    assert int8["latency_ms"]["n"] == 50 and int8["latency_ms"]["p90"] is None
    assert [(layer["name"], layer["average_ms"]) for layer in int8["reformat_layers"]] == [("to int8", 0.25)]
    text = device_times_text(found)
    assert "int8: GPU time 1.25 ms median, p90 n/a (needs 64 runs)" in text
    assert "1 reformat layers, 0.250 ms" in text and "accuracy was not measured" in text
    json.dumps(found)


def test_a_folder_where_nothing_was_built_names_its_logs(tmp_path):
    (tmp_path / "int8.log").write_text("[E] no")
    with pytest.raises(InputError, match="no engine was built in") as caught:
        read_device_times(tmp_path)
    assert "int8.log" in caught.value.hint


def test_a_folder_without_times(tmp_path):
    with pytest.raises(InputError, match="holds no") as caught:
        read_device_times(tmp_path)
    assert "build_on_device.sh" in caught.value.hint


def test_a_file_that_was_cut_off(engines):
    path = engines / "int8.times.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BackendError, match=r"int8\.times\.json does not hold trtexec's times"):
        read_device_times(engines)
