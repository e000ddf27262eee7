"""The self-check on real engines: the copy computes the same and is slower; the check counts what it found."""

import numpy as np
import onnxruntime as ort
import pytest
from small_engines import bundle, write_onnx

from edgetune.errors import InputError
from edgetune.measure import self_check as s
from edgetune.measure.engines import find_engines
from edgetune.measure.latency import LOADS
from edgetune.records import BenchSpec

SPEC = BenchSpec(min_runs=200, min_seconds=0.1, max_seconds=20)


def test_the_copy_gives_the_same_outputs_and_one_more(tmp_path):
    folder = bundle(tmp_path / "engine", 1)
    with find_engines([folder], threads=1) as (engine,):
        copy = s.append_work(engine, 500, tmp_path / "copy.onnx")
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    (before,) = ort.InferenceSession(engine.file).run(None, {"image": image})
    after, total = ort.InferenceSession(copy.file).run(None, {"image": image})
    assert (before == after).all()
    assert 200 < total < 300  # 500 numbers from 0 to 1: the work was done, not folded away to nothing


@pytest.mark.slow
def test_the_copy_is_as_much_slower_as_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(s, "SLOWDOWN", 0.5)
    with find_engines([bundle(tmp_path / "engine", 8)], threads=1) as (engine,):
        feed = s.make_feeds([engine], {}, None, 0)[engine.name]
        copy, expected = s.slower_copy(engine, feed, tmp_path, threads=1, seed=0)
    assert expected == pytest.approx(0.5, abs=0.02)
    assert copy.file.exists()


def test_the_check_counts_and_keeps_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(s, "SLOWDOWN", 1.0)  # so large that no noise hides it
    monkeypatch.setattr(s, "CALIBRATION", SPEC)
    path = write_onnx(tmp_path / "a.onnx", repeat=30)
    ticks = []
    result = s.self_check(
        path, repeats=3, spec=SPEC, shapes={}, batch=None, seed=0, progress=lambda *tick: ticks.append(tick[:2])
    )
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    assert result["needed"] == 3
    assert result["found_slower"] == sum(row["slower"]["ci95"][1] < 1 for row in result["rows"]) >= 2
    assert result["held_one"] == sum(row["same"]["ci95"][0] <= 1 <= row["same"]["ci95"][1] for row in result["rows"])
    assert result["passed"] == (result["held_one"] == result["found_slower"] == 3)
    for row in result["rows"]:
        assert set(row["raw"]) == {"engine", "again", "slower"}
        assert len(row["raw"]["again"]["runs_by_load"]) == LOADS


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "bad.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"bad\.onnx cannot be loaded"):
        s.self_check(tmp_path / "bad.onnx", repeats=1, spec=SPEC, shapes={}, batch=None, seed=0)
