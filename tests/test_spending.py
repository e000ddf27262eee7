"""Costs are metered, carried over interruptions, and summed without inventing what is unknown."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetune.spending import KINDS, Meter, Rapl, added, remember, remembered, total


def package(root: Path, number: int, name: str, microjoules: int) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("10000000\n")
    return folder


def test_energy_of_packages_adds_up_over_counters_that_start_again(tmp_path):
    first, second = package(tmp_path, 0, "package-0", 9_000_000), package(tmp_path, 1, "package-1", 0)
    package(tmp_path, 2, "psys", 0)  # holds the packages already
    rapl = Rapl(tmp_path)
    assert rapl.read() == 0.0
    (first / "energy_uj").write_text("1000000")
    (second / "energy_uj").write_text("500000")
    assert rapl.read() == pytest.approx(2.5)
    (first / "energy_uj").unlink()
    assert rapl.read() is None
    assert Rapl(tmp_path / "nothing").read() is None


def test_a_meter_tells_time_and_the_peak_of_memory_within_it():
    with Meter() as meter:
        held = bytearray(200 << 20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(0.02)
        cost = meter.read()
    assert cost["seconds"] >= 0.02 and cost["devices"] == 1 and cost["peak_rss_bytes"] > 200 << 20
    del held
    if Path("/proc/self/clear_refs").exists():
        with Meter() as meter:
            assert meter.read()["peak_rss_bytes"] < cost["peak_rss_bytes"]


COST = {
    "seconds": 2.0,
    "devices": 2,
    "peak_rss_bytes": 5,
    "peak_gpu_bytes": None,
    "energy_joules": {"processor": 1.0, "gpu": None},
}


def test_an_interruption_is_not_free(tmp_path):
    path = tmp_path / "spent.json"
    assert remembered(path) is None and added(None, COST) == COST
    remember(path, COST)
    sum_ = added(remembered(path), {**COST, "seconds": 3.0, "peak_rss_bytes": 9})
    assert sum_["seconds"] == 5.0 and sum_["peak_rss_bytes"] == 9 and sum_["energy_joules"]["processor"] == 2.0
    for damaged in ("", "[]", '{"seconds": 1}', '{"seconds": "x"}'):
        path.write_text(damaged)
        assert remembered(path) is None


def test_money_is_for_every_device_and_this_times_apart():
    rows = [
        {"seconds": 1800.0, "cached": True, "cost": COST},
        {"seconds": 3600.0, "cached": False, "cost": {**COST, "devices": 1}},
    ]
    found = total(rows, 2.0, "EUR")
    assert found["device_hours"] == pytest.approx(2.0) and found["money"] == pytest.approx(4.0)
    assert found["money_this_time"] == pytest.approx(2.0) and found["currency"] == "EUR"
    assert found["energy_joules"] == {"processor": 2.0, "gpu": None}
    assert total(rows, None, "")["money"] is None


@given(st.lists(st.sampled_from([None, 1.0, 2.5]), max_size=6))
def test_a_sum_with_an_unknown_part_is_unknown(parts):
    rows = [
        {"seconds": 1.0, "cached": False, "cost": {**COST, "energy_joules": dict.fromkeys(KINDS, joules)}}
        for joules in parts
    ]
    found = total(rows, None, "")["energy_joules"]["gpu"]
    assert found is None if None in parts else found == pytest.approx(sum(parts))
    rows.append({"seconds": 1.0, "cached": True, "cost": None})
    assert total(rows, None, "")["energy_joules"]["gpu"] is None
