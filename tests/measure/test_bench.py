"""The comparison of real engines, and every way a file can be wrong."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from edgetune_runtime import fresh
from edgetune_runtime.errors import MeasureError
from onnx import TensorProto
from small_engines import bundle, write_onnx

from edgetune.bundle.pack import pack_tar
from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.measure.bench import FRESH_STARTS, bench
from edgetune.measure.engines import unique_names
from edgetune.measure.latency import LOADS
from edgetune.measure.scenarios import Scenario
from edgetune.records import BenchSpec

QUICK = BenchSpec(min_runs=200, min_seconds=0.05, max_seconds=20)


def run(*paths, scenario=None, shapes=None, batch=None, spec=QUICK):
    return bench(paths, spec=spec, scenario=scenario or Scenario(), shapes=shapes or {}, batch=batch, seed=0)


def test_a_slower_file_is_found_slower_and_everything_is_kept(tmp_path):
    fast, slow = write_onnx(tmp_path / "fast.onnx"), write_onnx(tmp_path / "slow.onnx", repeat=60)
    result = run(fast, slow)
    first, second = result["engines"]
    assert first["speedup"] is None
    assert second["speedup"]["ci95"][1] < 1 and second["speedup"]["value"] < 0.9
    for engine in result["engines"]:
        raw = result["raw"][engine["name"]]
        assert engine["latency_ms"]["n"] == len(raw["values"]) >= 200
        assert raw["runs_by_load"] == [len(raw["values"]) // LOADS] * LOADS or len(raw["runs_by_load"]) == LOADS
        assert engine["latency_ms"]["p99"] is None or len(raw["values"]) >= 662
        for key in ("load_ms", "first_inference_ms", "peak_rss_bytes"):
            assert len(engine[key]) == FRESH_STARTS and min(engine[key]) > 0
        assert engine["samples_per_second"] == pytest.approx(1e3 / np.mean(raw["values"]))
    assert first["inputs"] == {"image": {"shape": [1, 3, 8, 8], "dtype": "float32"}}
    assert result["noise"]["verdict"] in ("quiet", "noisy")
    assert str(tmp_path) not in json.dumps(result)


def test_bundles_are_taken_as_folder_and_tar(tmp_path):
    folder = bundle(tmp_path / "engine", 1)
    pack_tar(folder, tmp_path / "packed.tar")
    result = run(folder, tmp_path / "packed.tar", folder / "engine.onnx")
    assert len({engine["sha256"] for engine in result["engines"]}) == 1
    assert [engine["file"] for engine in result["engines"]] == ["engine", "packed.tar", "engine.onnx"]


def test_batches_count_as_samples(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    (engine,) = run(path, scenario=Scenario(kind="offline"), batch=4)["engines"]
    assert engine["batch"] == 4
    assert engine["samples_per_second"] == pytest.approx(4e3 / engine["latency_ms"]["p50"], rel=0.9)


def test_a_fixed_rate_tells_how_busy_the_engine_is(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", repeat=20)
    spec = BenchSpec(min_runs=10, min_seconds=0, max_seconds=20)
    (engine,) = run(path, scenario=Scenario(kind="fixed-rate", rate=200.0), spec=spec)["engines"]
    assert engine["samples_per_second"] is None
    assert engine["utilisation"] > 0
    assert engine["latency_ms"]["n"] == LOADS * 32


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p, "there is no .*bad.onnx"),
        (lambda p: p.write_bytes(b"hello"), "bad.onnx cannot be loaded"),
        (lambda p: p.write_bytes(b""), "bad.onnx cannot be loaded"),
        (lambda p: p.mkdir(), "bad.onnx is no bundle that can be run"),
        (lambda p: write_onnx(p, shape=["batch", "height"]), 'bad.onnx: input "image" has the shape'),
        (lambda p: write_onnx(p, dtype=TensorProto.STRING), "bad.onnx"),
    ],
)
def test_a_bad_file_is_named(tmp_path, make, says):
    good, bad = write_onnx(tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    make(bad)
    with pytest.raises(InputError, match=says) as caught:
        run(good, bad)
    assert "\n" not in caught.value.message


def test_weights_outside_of_the_folder_are_not_read(tmp_path):
    (tmp_path / "here").mkdir()
    path = write_onnx(tmp_path / "here" / "m.onnx")
    model = onnx.load(path)
    weight = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../w.bin")
    (tmp_path / "w.bin").write_bytes(b"\0\0\0\0")
    model.graph.initializer.append(weight)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx keeps weights outside its folder: \.\./w\.bin"):
        run(path)


def test_a_truncated_file_and_a_damaged_bundle_are_named(tmp_path):
    whole = bundle(tmp_path / "engine", 1)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((whole / "engine.onnx").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut\.onnx cannot be loaded"):
        run(cut)
    (whole / "engine.onnx").write_bytes(cut.read_bytes())
    with pytest.raises(InputError, match="engine is no bundle that can be run"):
        run(whole)
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(InputError, match=r"text\.tar is no bundle"):
        run(tmp_path / "text.tar")


def test_a_shape_for_nothing_lists_what_there_is(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    with pytest.raises(InputError, match='"imgae"') as caught:
        run(path, shapes={"imgae": (1, 3, 8, 8)})
    assert "image [batch, 3, 8, 8]" in caught.value.hint


def test_a_process_that_fails_dies_or_hangs_is_an_error_with_its_last_words(monkeypatch):
    with pytest.raises(MeasureError, match="the reason"):
        fresh.run_python("import sys; sys.exit('the reason')")
    with pytest.raises(MeasureError, match="killed by SIGSEGV"):
        fresh.run_python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(fresh, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(MeasureError, match=r"did not end within 0\.5 s"):
        fresh.run_python("import time; time.sleep(60)")


def test_names_are_short_and_all_different():
    def names(*texts):
        return unique_names([Path(text) for text in texts])

    assert names("x/a.onnx", "y/b.onnx", "runs/bundles/x86-cpu.tar") == ["a", "b", "x86-cpu"]
    assert names("x/a.onnx", "y/a.onnx") == ["x/a", "y/a"]
    assert names("a.onnx", "a.onnx") == ["a", "a#2"]
    assert names("runs/v1.2", "runs/v1.3") == ["v1.2", "v1.3"]
    bundles = [f"runs/{run}/bundles/x86-cpu" for run in ("a", "b")]
    assert names(*bundles, "c.onnx") == ["a/bundles/x86-cpu", "b/bundles/x86-cpu", "c"]
    assert names(str(Path.home() / "a.onnx"), "y/a.onnx") == ["~/a", "y/a"]
    assert names("x/a.onnx", "x/a.tar") == ["x/a", "x/a#2"]


def test_a_file_in_two_libraries(tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    path, packed = write_onnx(tmp_path / "a.onnx"), bundle(tmp_path / "engine", 1)
    both = ("onnxruntime", "openvino")
    result = bench(
        [path, packed], spec=QUICK, scenario=Scenario(), shapes={}, batch=None, seed=0, backends=(*both, *both)
    )
    found = [(engine["name"], engine["backend"]) for engine in result["engines"]]
    assert found == [("a@onnxruntime", "onnxruntime"), ("a@openvino", "openvino"), ("engine", "onnxruntime")]
    assert all(engine["latency_ms"]["n"] >= 200 and min(engine["load_ms"]) > 0 for engine in result["engines"])


def test_a_page_is_of_one_measurement_and_in_a_folder_that_is_there(tmp_path):
    model = str(write_onnx(tmp_path / "a.onnx"))
    for more in (["--self-check"], ["--device", "ssh://a", "--device", "ssh://b"]):
        done = CliRunner().invoke(cli, ["bench", model, "--html", str(tmp_path / "a.html"), *more])
        assert done.exit_code == 2 and "--html is of one measurement" in done.output
    done = CliRunner().invoke(cli, ["bench", model, "--html", str(tmp_path / "nowhere/a.html")])
    assert done.exit_code == 2 and "give a file in a folder that exists" in done.output
