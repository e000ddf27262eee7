"""Energy, read from a powercap tree on disk: the kernel's own format, with counters that rise as engines run."""

from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from edgetune_runtime import sensors
from small_engines import write_onnx

from edgetune.cli import cli
from edgetune.measure.energy import TURNS, energy_of, energy_ratio, readable


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """A package that has used 3 kJ and starts again from zero after 4."""
    folder = tmp_path / "powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "energy_uj").write_text("3000000000\n")
    (folder / "max_energy_range_uj").write_text("4000000000\n")
    monkeypatch.setattr(sensors, "POWERCAP", folder.parent)
    return folder


def engine(folder, microjoules):
    """An engine each of whose inferences makes the package's counter rise."""

    def infer():
        counter = folder / "energy_uj"
        counter.write_text(f"{(int(counter.read_text()) + microjoules) % 4_000_000_000}\n")

    @contextmanager
    def opened():
        yield infer

    return opened


def test_each_engine_gets_the_joules_of_its_own_turns_over_a_counter_that_starts_again(powercap):
    engines = {"float": engine(powercap, 20_000_000), "int8": engine(powercap, 5_000_000)}
    found = energy_of(engines, seed=0, seconds=0.01)
    assert {name: len(turns) for name, turns in found.items()} == {"float": TURNS, "int8": TURNS}
    assert found["float"] == pytest.approx([20.0] * TURNS) and found["int8"] == pytest.approx([5.0] * TURNS)
    assert energy_ratio(found["float"], found["int8"]) == pytest.approx(0.25)


def test_what_cannot_be_read_is_no_number(tmp_path, powercap, monkeypatch):
    assert readable()
    (powercap / "energy_uj").unlink()
    assert not readable() and energy_of({"float": engine(powercap, 1)}, seed=0) is None
    monkeypatch.setattr(sensors, "POWERCAP", tmp_path / "nothing")
    assert energy_of({}, seed=0) is None
    assert energy_ratio([1.0, 0.0], [1.0, 1.0]) is None and energy_ratio([], []) is None


def test_the_bench_says_how_much_or_why_not(tmp_path, powercap, monkeypatch):
    arguments = ["bench", str(write_onnx(tmp_path / "a.onnx")), "--min-runs", "20", "--min-seconds", "0.02"]
    assert "0 mJ" in CliRunner().invoke(cli, arguments).output  # a counter that stands still
    monkeypatch.setattr(sensors, "POWERCAP", tmp_path / "nothing")
    output = CliRunner().invoke(cli, arguments).output
    assert "energy: not readable here" in output and "mJ" not in output
