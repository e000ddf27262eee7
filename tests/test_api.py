"""The main job, for real and small: build, build again, change one thing, stop it anywhere, and go on."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import make_project
from edgetune_runtime import Engine

import edgetune
from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.hashing import digest_file
from edgetune.report.terminal import render_table
from edgetune.report.validate import validate
from edgetune.steps import float_layers

pytestmark = pytest.mark.slow


def edit(project: Path, old: str, new: str) -> None:
    path = project / "edgetune.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a build of the unchanged project."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_project(tmp_path_factory.mktemp("finished"), patch)
        edgetune.build()
    return folder / "store"


@pytest.fixture
def begun(project: Path, finished: Path) -> Path:
    """The project with a copy of that store: what a test does not change is not made again."""
    shutil.copytree(finished, project / "store")
    return project


def ran(report: edgetune.Report) -> set[str]:
    return {step["name"] for step in report.data["steps"] if not step["cached"]}


def test_build_does_the_whole_job_and_does_nothing_twice(project):
    report = edgetune.build("edgetune.toml", target="x86-cpu", run_dir="runs/first")
    validate(report.data)
    (target,) = report.data["targets"]
    assert target["status"] == "measured"
    names = [candidate["name"] for candidate in target["candidates"]]
    assert names == ["float", "int8", "pruned-50", "pruned-50-int8"]
    by_name = {candidate["name"]: candidate for candidate in target["candidates"]}
    assert by_name["float"]["metrics"]["accuracy"] > 0.5  # three classes: chance is 0.33
    assert by_name["pruned-50"]["macs"] < by_name["float"]["macs"]
    assert by_name["int8"]["size_bytes"] < by_name["float"]["size_bytes"]
    assert all(candidate["latency_ms"]["n"] >= 20 for candidate in target["candidates"])

    # where the time goes, by the network's own names, and what flipped
    layers, shipped = target["layers"], by_name[target["chosen"]]
    assert [row["layer"] for row in layers["rows"]] == ["0", "3", "6", "11"] and layers["missing"] == []
    for engine, key in ((layers["before"], "before_ms"), (layers["after"], "after_ms")):
        whole = sum(row[key] or 0 for row in layers["rows"] + layers["others"])
        assert 0.2 < whole / by_name[engine]["latency_ms"]["p50"] < 5  # the same engine, profiled on a shared machine
    if "int8" in layers["after"]:
        assert layers["sqnr_of"] == layers["after"] and all(row["sqnr_db"] > 5 for row in layers["rows"])
    if target["chosen"] != "float":
        assert target["flips"]["negative"] == shipped["accuracy_change"]["negative_flips"]
        assert all(flip["thumbnail"] for flip in target["flips"]["shown"])

    # what ships runs, verifies and tests itself
    for name in ("x86-cpu", "x86-cpu.tar"):
        with Engine.open(report.run_dir / "bundles" / name) as engine:
            best = engine.predict(project / "shapes/test/blob/000.png")
            assert [label for label, _ in best] != [] and abs(sum(p for _, p in best) - 1) < 1e-6
    for name in ("report.json", "report.md", "report.html", "measurements/x86-cpu.json"):
        assert (report.run_dir / name).stat().st_size > 0
    text = (report.run_dir / "report.json").read_text() + (report.run_dir / "bundles/x86-cpu/manifest.json").read_text()
    assert str(project) not in text  # no private path leaves the desk

    # nothing changed: nothing is computed
    again = edgetune.build("edgetune.toml", target="x86-cpu")
    assert ran(again) == set()
    assert again.data["targets"] == report.data["targets"]

    # only the bench changed: nothing is trained, exported or compiled
    edit(project, "min_runs = 20", "min_runs = 30")
    assert ran(edgetune.build()) == {"measure:x86-cpu", "select:x86-cpu", "bundle:x86-cpu"}

    # a touched file is looked at again, and found to be the same
    os.utime(project / "shapes/train/blob/000.png")
    assert ran(edgetune.build()) == {"check-data"}

    # a damaged artifact is noticed and made again; what follows from it stays
    checkpoint = next((project / "store/objects").glob("*/model.safetensors"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"\0")
    assert ran(edgetune.build()) <= {"finetune", "prune-50-by-8"}
    assert len(ran(edgetune.build())) == 0


def test_prunings_that_take_times_are_told_of_where_nothing_is_timed(begun):
    recipe = begun / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("ratio = [0.0, 0.5]", "target_speedup = [1.5]"))
    report = edgetune.build(target=["jetson", "arm-cpu"])
    for entry in report.data["targets"]:
        assert [candidate["name"] for candidate in entry["candidates"]] == ["float", "int8"]
        (told,) = [sentence for sentence in entry["reason"] if "target_speedup" in sentence]
        assert "say by how much in `ratio`" in told and ("--device" in told) == (entry["target"] == "arm-cpu")


def test_targets_that_do_not_run_here_are_prepared(begun):
    report = edgetune.build(target=["jetson", "arm-cpu"])
    assert report.exit_code == 4
    for entry in report.data["targets"]:
        assert entry["status"] == "prepared" and entry["chosen"] is None and entry["bundle"] is None
        assert all(candidate["latency_ms"] is None for candidate in entry["candidates"])
        assert (report.run_dir / "prepared" / entry["target"] / "pruned-50-int8.onnx").exists()
    jetson, arm = report.data["targets"]
    assert "All 4 keep the rules of TensorRT 10.3's parser (validation.json)." in jetson["reason"]
    validation = json.loads((report.run_dir / "prepared/jetson-orin-nano/validation.json").read_text())
    assert set(validation["findings"]) == {"float", "int8", "pruned-50", "pruned-50-int8"}
    assert jetson["validation"]["refused"] == [] and jetson["validation"]["files"] == 4
    assert (report.run_dir / jetson["validation"]["path"]).exists()
    assert len(arm["reason"]) == 2 and arm["validation"] is None
    assert not (report.run_dir / "prepared/arm-cpu/build_on_device.sh").exists()
    script = (report.run_dir / "prepared/jetson-orin-nano/build_on_device.sh").read_text()
    for name, precision in (("float", "fp16"), ("pruned-50-int8", "int8")):
        digest = digest_file(report.run_dir / f"prepared/jetson-orin-nano/{name}.onnx")
        assert f"\n{name} {precision} {digest}\n" in script
    assert "--shapes=image:1x3x40x40" in script
    import onnx

    model = onnx.load(report.run_dir / "prepared/jetson-orin-nano/int8.onnx")
    zero_points = {
        onnx.numpy_helper.to_array(tensor).dtype.name
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
        for tensor in model.graph.initializer
        if tensor.name == node.input[2]
    }
    assert zero_points == {"int8"}


def build_process(project: Path, run: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "edgetune", "build", "--run-dir", run]
    return subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def checkpoints(project: Path) -> list[Path]:
    return list((project / "store/work").glob("*/scratch/training.safetensors"))


def shipped_accuracy(run: Path) -> list[float]:
    report = json.loads((run / "report.json").read_text())
    return [candidate["metrics"]["accuracy"] for candidate in report["targets"][0]["candidates"]]


def weights(project: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (project / "store/objects").glob("*/model.safetensors"))


def test_kill_9_in_training_then_the_same_result_as_without(project):
    edit(project, "epochs = 6", "epochs = 40")
    process = build_process(project, "runs/killed")
    deadline = time.monotonic() + 120
    while not checkpoints(project) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None and checkpoints(project)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = build_process(project, "runs/resumed")
    _, said = done.communicate(timeout=300)
    assert "check data: cached" in said
    resumed = weights(project)
    (project / "store").rename(project / "other-store")
    build_process(project, "runs/whole").communicate(timeout=300)
    assert resumed == weights(project)
    assert shipped_accuracy(project / "runs/resumed") == shipped_accuracy(project / "runs/whole")


def test_ctrl_c_stops_cleanly_and_the_build_goes_on(project):
    edit(project, "epochs = 6", "epochs = 60")
    process = build_process(project, "runs/stopped")
    deadline = time.monotonic() + 120
    while not checkpoints(project) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said and "run the same command" in said
    assert not (project / "runs/stopped").exists()
    done = CliRunner().invoke(cli, ["build", "--run-dir", "runs/stopped"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("after", ["", "[1/"])
def test_sigterm_stops_a_build_as_ctrl_c_does(project, after):
    """Before its first step it may be importing; a service manager does not look."""
    process = build_process(project, "runs/stopped")
    if after:
        assert after in process.stderr.readline()
    else:
        time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGTERM) if not after else process.returncode == 130
    assert "Traceback" not in said


def test_two_builds_at_once_share_the_work(project):
    one, two = build_process(project, "runs/one"), build_process(project, "runs/two")
    said = [process.communicate(timeout=300)[1] for process in (one, two)]
    assert one.returncode == two.returncode == 0
    assert sum("] fine-tune: cached" in text for text in said) == 1
    assert shipped_accuracy(project / "runs/one") == shipped_accuracy(project / "runs/two")


def test_quantization_aware_training_stands_beside_calibration(begun):
    edit(begun, 'mode = "ptq"', 'mode = "qat"\nepochs = 1')
    edit(begun, "ratio = [0.0, 0.5]", "ratio = []")
    report = edgetune.build()
    by_name = {candidate["name"]: candidate for candidate in report.data["targets"][0]["candidates"]}
    assert list(by_name) == ["float", "int8", "int8-qat"]
    run = f"runs/{report.run_dir.name}"
    assert report.data["next_commands"][:2] == ["edgetune build --target x86-cpu", f"edgetune report {run} --open"]
    assert report.data["next_commands"][2] == f"edgetune-run {run}/bundles/x86-cpu.tar IMAGE"
    assert by_name["int8-qat"]["selection"]["accuracy"] >= by_name["int8"]["selection"]["accuracy"] - 0.05
    sizes = [by_name[name]["size_bytes"] for name in ("int8", "int8-qat")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    note = next((begun / "store/objects").glob("*/notes/training.json"), None)
    assert note is not None
    assert ran(edgetune.build()) == set()


def test_first_layers_are_timed_in_float_and_kept_so_if_that_is_proven_faster(begun, monkeypatch):
    monkeypatch.setattr(float_layers, "MIN_SECONDS", 0.1)
    edit(begun, 'float_layers = "none"', 'float_layers = "auto"')
    edit(begun, "ratio = [0.0, 0.5]", "ratio = []")
    report = edgetune.build()
    found = json.loads(next((begun / "store/objects").glob("*/float_layers.json")).read_text())
    tried = [entry["layers"] for entry in found["speedups"]]
    assert tried == [["0"], ["0", "3"], ["0", "3", "6"]]  # of the Sequential in tiny_network
    proven = [entry for entry in found["speedups"] if entry["ci95"][0] > 1]
    best = max(proven, key=lambda entry: entry["value"], default={"layers": []})
    assert found["keep_float"] == best["layers"]
    by_name = {candidate["name"]: candidate for candidate in report.data["targets"][0]["candidates"]}
    assert by_name["int8"]["status"] == "measured"
    # another choice of the recipe is another network, and nothing is timed for it
    edit(begun, 'float_layers = "auto"', 'keep_float = ["0"]')
    again = edgetune.build()
    assert any(name.startswith("quantize:") for name in ran(again)) and not any("float-layers" in n for n in ran(again))


def test_a_network_that_learned_nothing_is_told(project):
    edit(project, "learning_rate = 0.01", "learning_rate = 1e-9")
    edit(project, "ratio = [0.0, 0.5]", "ratio = []")
    (target,) = edgetune.build().data["targets"]
    assert any("not proven better than always answering" in sentence for sentence in target["reason"])


def test_a_candidate_that_cannot_be_pruned_is_out_of_the_race_and_says_why(project):
    edit(project, "tiny_network:tiny", "tiny_network:narrow")
    report = edgetune.build()
    by_name = {candidate["name"]: candidate for candidate in report.data["targets"][0]["candidates"]}
    assert by_name["pruned-50"]["status"] == "failed"
    assert "removes nothing" in by_name["pruned-50"]["reason"] == by_name["pruned-50-int8"]["reason"]
    told = " ".join(render_table(report.data).split())
    assert (
        f"pruned-50, pruned-50-int8 failed: {by_name['pruned-50']['reason']} ({by_name['pruned-50']['hint']})" in told
    )
    assert " ".join(report.data["targets"][0]["reason"]) in told
    assert by_name["int8"]["status"] == "measured"


def test_a_budget_that_nothing_meets_is_exit_3_with_the_float_engine(begun):
    (begun / "edgetune.toml").write_text(
        (begun / "edgetune.toml").read_text() + "[budget]\nmax_latency_ms = 0.000001\n"
    )
    report = edgetune.build()
    assert report.exit_code == 3
    gate = next(gate for gate in report.data["gates"] if gate["name"] == "max_latency_ms")
    assert not gate["passed"] and gate["value"] > gate["limit"]
    (target,) = report.data["targets"]
    forms = (render_table(report.data), *((report.run_dir / f"report.{kind}").read_text() for kind in ("md", "html")))
    for text in (" ".join(form.replace("\\", "").split()) for form in forms):
        assert "limit 0.000001 ms" in text and "is over 0.000001 ms" in text
        assert all(f"{name} " in text.split("Trade-off on validation: ")[1] for name in target["trade_off"])


def test_without_compressed_engines_the_reason_says_that_nothing_meets_the_budget(begun):
    edit(begun, "ratio = [0.0, 0.5]", "ratio = []")
    edit(begun, 'mode = "ptq"', 'mode = "none"')
    (begun / "edgetune.toml").write_text((begun / "edgetune.toml").read_text() + "[budget]\nmax_latency_ms = 1e-5\n")
    report = edgetune.build()
    assert report.exit_code == 3
    told = " ".join(render_table(report.data).split())
    assert "so the float engine ships, though nothing meets the budget: its 0.0" in told
    assert "GATE FAILED: median latency: 0.0" in told and "limit 0.00001 ms" in told


def test_a_csv_without_splits_builds_too(project):
    rows = [
        f"{path.relative_to(project).as_posix()},{path.parent.name}" for path in (project / "shapes").rglob("*.png")
    ]
    (project / "all.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    edit(project, 'path = "shapes"', 'path = "all.csv"')
    edit(project, "ratio = [0.0, 0.5]", "ratio = []")
    report = edgetune.build()
    assert report.data["dataset"]["carved"] == ["test", "val"]
    assert report.data["targets"][0]["status"] == "measured"


def test_a_run_folder_that_is_the_users_is_left_alone(project):
    (project / "mine/bundles/x86-cpu").mkdir(parents=True)
    (project / "mine/report.json").write_text('{"my": "thesis"}')
    with pytest.raises(InputError, match="no run of edgetune wrote"):
        edgetune.build(run_dir="mine")
    assert (project / "mine/report.json").read_text() == '{"my": "thesis"}'


def test_a_run_folder_that_cannot_be_made_is_told_before_the_work(project):
    with pytest.raises(InputError, match="cannot make"):
        edgetune.build(run_dir=project / "edgetune.toml" / "sub")
    assert not (project / "store").exists()


def test_a_second_run_in_the_same_folder_leaves_nothing_of_the_first(begun):
    edgetune.build(run_dir="same")
    report = edgetune.build(run_dir="same", target="jetson")
    assert not (report.run_dir / "bundles").exists() and (report.run_dir / "prepared/jetson-orin-nano").is_dir()


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(begun, monkeypatch):
    class Noon(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr("edgetune.api.runs.dt.datetime", Noon)
    folders = {edgetune.build().run_dir for _ in range(2)}
    assert {folder.name for folder in folders} == {"2026-01-01T12-00-00", "2026-01-01T12-00-00-2"}


def test_a_build_that_fails_leaves_no_folder(project):
    edit(project, "tiny_network:tiny", "tiny_network:nothing")
    with pytest.raises(edgetune.EdgetuneError):
        edgetune.build(run_dir="new")
    assert not (project / "new").exists()


def test_the_users_code_is_read_again_when_what_it_imports_changes(project):
    (project / "blocks.py").write_text("WIDTH = 8\n")
    (project / "wide.py").write_text(
        "from torch import nn\nfrom blocks import WIDTH\n"
        "def net(num_classes):\n"
        "    pool = nn.AdaptiveAvgPool2d(1)\n"
        "    head = nn.Linear(WIDTH, num_classes)\n"
        "    return nn.Sequential(nn.Conv2d(3, WIDTH, 3), nn.ReLU(), pool, nn.Flatten(), head)\n"
    )
    edit(project, "tiny_network:tiny", "wide:net")
    edit(project, "ratio = [0.0, 0.5]", "ratio = [0.0]")
    edit(project, 'mode = "ptq"', 'mode = "none"')
    narrow = edgetune.build().data["targets"][0]["baseline"]["parameters"]
    (project / "blocks.py").write_text("WIDTH = 16\n")
    assert edgetune.build().data["targets"][0]["baseline"]["parameters"] > narrow


def test_a_script_that_leaves_when_it_is_imported_is_no_success(project):
    (project / "script.py").write_text("import sys\nsys.exit(0)\n")
    edit(project, "tiny_network:tiny", "script:net")
    with pytest.raises(InputError, match="cannot import script: SystemExit"):
        edgetune.build()
