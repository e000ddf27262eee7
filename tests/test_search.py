"""`edgetune search` as its user sees it: real builds of a tiny network, one worker, SQLite."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import make_project
from edgetune_runtime import sensors
from safetensors import safe_open

from edgetune import api
from edgetune.cli import cli
from edgetune.errors import InputError
from edgetune.recipe import load_recipe
from edgetune.report.validate import validate_search
from edgetune.search import hopeless
from edgetune.search.pareto import hypervolume

pytestmark = pytest.mark.slow

SPACE = """
[budget]
max_accuracy_drop = 100.0
[search]
trials = 4
[search.space]
prune.ratio = [0.0, 0.3, 0.5]  # of channels
quantize.mode = ["none", "ptq"]
"""
EPOCHS = 12  # of the recovery of what half of the channels were taken from: enough to learn the third class again


@pytest.fixture
def search(project):
    """The project with a small space."""
    recipe = project / "edgetune.toml"
    recipe.write_text(f"# mine\n{recipe.read_text()}{SPACE}")
    return project


def edit(project, old, new):
    path = project / "edgetune.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """(a project whose search has ended, what the command said); INT8 is faster in it, on a busy machine too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_project(tmp_path_factory.mktemp("searched"), patch)
        recipe = folder / "edgetune.toml"
        recipe.write_text(f"# mine\n{recipe.read_text()}{SPACE}")
        edit(folder, "pretrained = false", "pretrained = false\nargs = { width = 64 }")
        done = CliRunner().invoke(cli, ["search"])
    assert done.exit_code == 0, done.output
    return folder, done


@pytest.fixture
def found(searched, tmp_path, monkeypatch):
    """A copy of it, with its store; the working folder."""
    copied = shutil.copytree(searched[0], tmp_path / "copied")
    monkeypatch.chdir(copied)
    monkeypatch.setenv("EDGETUNE_CACHE", str(copied / "store"))
    return copied


def test_it_builds_engines_and_writes_the_one_to_ship(searched):
    search, done = searched
    data = json.loads((search / "search/search.json").read_text())
    validate_search({key: value for key, value in data.items() if key not in ("recipe", "files")})
    first, second = data["trials"][:2]
    assert [first["engine"], second["engine"]] == ["int8", "pruned-50-int8"] and first["recipe"] and second["recipe"]
    finished = [trial for trial in data["trials"] if trial["state"] == "finished"]
    assert len(finished) == 4 and all(trial["float_ms"] > 0 and trial["size_bytes"] > 0 for trial in finished)

    # The front, the volume and the choice follow from the trials.
    points = {t["number"]: (1 - t["accuracy"], 1 / t["speedup"]["value"]) for t in finished}
    better = {
        n: [m for m in points if points[m] != points[n] and np.all(np.less_equal(points[m], points[n]))] for n in points
    }
    assert set(data["front"]) <= {number for number in points if not better[number]}
    assert data["hypervolume"]["reference"]["accuracy"] == pytest.approx(1 / 3)
    last = data["hypervolume"]["by_trial"][-1]["value"]
    assert last == pytest.approx(hypervolume(list(points.values()), (2 / 3, 1.0))) and last > 0
    fitting = [t for t in finished if t["inside_budget"] and t["speedup"]["ci95"][0] > 1]
    chosen = max(fitting, key=lambda t: t["speedup"]["value"])
    assert data["chosen_trial"] == chosen["number"] and f"Trial {chosen['number']} is the fastest" in done.stdout

    text = (search / "edgetune.searched.toml").read_text()
    assert "# mine" in text and "# of channels" in text
    shipped = load_recipe(search / "edgetune.searched.toml")
    ratio, mode = chosen["values"]["prune.ratio"], chosen["values"]["quantize.mode"]
    assert shipped.prune.ratio == ((ratio,) if ratio else ()) and shipped.quantize.mode == mode
    page = (search / "search/search.html").read_text()
    assert str(search) not in page and data["study"] in page and "<script src" not in page


def test_a_build_of_the_searched_recipe_makes_nothing_twice_and_the_test_split_was_not_read(found):
    data = json.loads((found / "search/search.json").read_text())
    chosen = data["trials"][data["chosen_trial"]]
    kept = [entry for entry in api.open_store().entries() if entry.name == "evaluate"]
    assert kept
    evaluated = list((found / "store").rglob("logits.npz"))
    assert len(evaluated) == len(kept)
    for path in evaluated:
        with np.load(path) as arrays:
            assert set(arrays) == {"val_logits", "val_labels"}
    plan, statuses = api.plan("edgetune.searched.toml")
    candidate = next(candidate for candidate in plan.candidates if candidate.name == chosen["engine"])
    made = {candidate.network_step, candidate.onnx_step, candidate.compile_step}
    assert all(status.cached for status in statuses if status.step.id in made)


def test_the_same_command_goes_on_and_does_nothing_twice(found):
    first = json.loads((found / "search/search.json").read_text())
    edit(found, "trials = 4", "trials = 5")
    second = api.search()
    assert second["study"] == first["study"] and second["trials"][:4] == first["trials"]
    assert len(second["trials"]) == 5
    again = api.search()
    assert again["trials"] == second["trials"] and again["complete"]
    edit(found, "max_accuracy_drop = 100.0", "max_accuracy_drop = 99.0")  # by which trials are given up
    (found / "edgetune.searched.toml").unlink()
    assert api.search()["study"] != first["study"]


def test_hopeless_networks_are_not_compiled_and_nothing_that_fits_is_told(search):
    edit(search, "max_accuracy_drop = 100.0", "max_accuracy_drop = 0.0\nmax_size_mb = 0.001")
    edit(search, "trials = 4", 'trials = 2\ngive_up_points = 0.0\nsize = true\nsampler = "nsga2"')
    edit(search, "recovery_epochs = 2", "recovery_epochs = 1\nlearning_rate = 1e-9")
    edit(search, "ratio = [0.0, 0.5]", "ratio = [0.5]")
    edit(search, "prune.ratio = [0.0, 0.3, 0.5]  # of channels", "prune.ratio = [0.5]")
    done = CliRunner().invoke(cli, ["search"])
    data = json.loads((search / "search/search.json").read_text())
    first = data["trials"][0]
    assert first["state"] == "given up" and first["accuracy"] is None and "hopeless" in first["reason"]
    assert first["recovered_accuracy"] < data["float"]["accuracy"] and first["inside_budget"] is False
    assert not [entry for entry in api.open_store().entries() if entry.name == "quantize"]
    assert done.exit_code == 1 and "every trial was given up: " in done.stderr, done.stderr
    assert all(key in done.stderr for key in ("`[search] give_up_points` (0)", "`[prune] recovery_epochs` (1)"))
    assert data["reason"] == ["No trial has an engine, so none was chosen."]
    page = (search / "search/search.html").read_text()
    assert 'id="volume"' not in page and 'id="pareto"' not in page and "So none was chosen" not in page


def test_a_hopeless_recovery_is_stopped_and_goes_on_where_it_is_wanted(search, monkeypatch):
    monkeypatch.setattr(hopeless, "LEAST_TRIALS", 1)
    edit(search, "max_accuracy_drop = 100.0", "max_accuracy_drop = 20.0")
    edit(search, "trials = 4", 'trials = 6\nseed = 1\nsampler = "random"\ngive_up_points = 0.0\nstop_points = 0.0')
    edit(search, "recovery_epochs = 2", f"recovery_epochs = {EPOCHS}\nlearning_rate = 0.03")
    edit(search, "ratio = [0.0, 0.5]", "ratio = [0.5]")
    edit(search, "prune.ratio = [0.0, 0.3, 0.5]  # of channels", "prune.learning_rate = [0.03, 1e-9]")
    done = CliRunner().invoke(cli, ["search"])
    assert done.exit_code in (0, 3), done.output  # 3: on a busy machine none may be proven faster
    data = json.loads((search / "search/search.json").read_text())
    good = [trial for trial in data["trials"] if trial["values"]["prune.learning_rate"] == 0.03]
    bad = [trial for trial in data["trials"] if trial not in good]
    assert all(trial["state"] == "finished" and len(trial["recovery"]) == EPOCHS for trial in good)
    assert {trial["values"]["quantize.mode"] for trial in bad} == {"none", "ptq"}  # two that want the same network
    epoch = bad[0]["stopped"]["epoch"]
    for trial in bad:  # the second is stopped at once
        assert trial["state"] == "given up" and trial["accuracy"] is None and trial["inside_budget"] is False
        assert (trial["stopped"]["epoch"], trial["stopped"]["epochs"]) == (epoch, EPOCHS)
        assert trial["stopped"]["median"] == max(good[0]["recovery"][:epoch]) > trial["recovered_accuracy"]
        assert trial["reason"].startswith(f"stopped after epoch {epoch} of {EPOCHS}") and trial["reason"] in done.stderr
    assert f"left out {(EPOCHS - epoch) * len(bad)} epochs" in done.stdout and bad[0]["reason"][1:] in page(search)

    # What was trained is kept, but not as a finished step; where nothing is stopped it goes on from there.
    assert {entry.params["learning_rate"] for entry in pruned()} == {0.03}
    (half,) = (search / "store/work").rglob("training.safetensors")
    with safe_open(half, framework="np") as file:
        begun = json.loads(file.metadata()["progress"])["history"]
    assert len(begun) == epoch
    edit(search, "stop_points = 0.0", "stop_points = 100.0")
    (search / "edgetune.searched.toml").unlink(missing_ok=True)
    assert api.search()["study"] != data["study"]
    (slow,) = [entry for entry in pruned() if entry.params["learning_rate"] == 1e-9]
    notes = json.loads((search / "store/objects" / slow.key / "notes/training.json").read_text())
    assert notes["history"][:epoch] == begun and len(notes["history"]) == EPOCHS  # with the seconds that it took then


def pruned():
    return [entry for entry in api.open_store().entries() if entry.name == "prune"]


def page(project):
    return (project / "search/search.html").read_text()


def test_a_budget_that_nothing_keeps_to_ends_with_3(search):
    edit(search, "max_accuracy_drop = 100.0", "max_latency_ms = 1e-6")
    edit(search, "trials = 4", "trials = 1")
    done = CliRunner().invoke(cli, ["search"])
    assert done.exit_code == 3, done.output
    assert "no recipe, as no engine fits" in done.stdout and not (search / "edgetune.searched.toml").exists()


def test_other_sizes_are_timed_beside_the_float_engine_of_the_recipe(search):
    edit(search, "ratio = [0.0, 0.5]", "ratio = [0.0]")
    edit(search, "prune.ratio = [0.0, 0.3, 0.5]  # of channels", "data.image_size = [24, 40]")
    edit(search, 'quantize.mode = ["none", "ptq"]', 'model.name = ["tiny_network:tiny", "tiny_network:narrow"]')
    edit(search, "trials = 4", 'trials = 5\nsize = true\nsampler = "random"')
    data = api.search(target="x86-cpu")
    validate_search({key: value for key, value in data.items() if key not in ("recipe", "files")})
    assert data["objectives"][-1] == "size_ratio"
    models = {trial["values"]["model.name"]: trial["size_bytes"] for trial in data["trials"]}
    assert models["tiny_network:narrow"] < models["tiny_network:tiny"]
    small = [t for t in data["trials"] if t["values"] == {"data.image_size": 24, "model.name": "tiny_network:narrow"}]
    assert all(trial["speedup"]["value"] > 1 for trial in small)


def test_how_many_of_the_worst_layers_stay_in_float_is_searched(search, monkeypatch):
    monkeypatch.setattr("edgetune.steps.mix.MIN_SECONDS", 0.05)
    monkeypatch.setattr("edgetune.steps.mix.MIN_RUNS", 20)
    (search / "targets").mkdir()
    (search / "targets/one-scale.toml").write_text('extends = "x86-cpu"\n[scheme]\nper_channel = false\n')
    edit(search, "tiny_network:tiny", "tiny_network:unlike")  # calibration with one scale a weight breaks it
    edit(search, "epochs = 6", 'strategy = "feature-extraction"')
    edit(search, "ratio = [0.0, 0.5]", "ratio = []")
    edit(search, "prune.ratio = [0.0, 0.3, 0.5]  # of channels", "quantize.worst_in_float = [0, 4]")
    edit(search, 'quantize.mode = ["none", "ptq"]', "")
    edit(search, "trials = 4", 'trials = 3\nsampler = "random"\nseed = 1')
    data = api.search(target="one-scale")
    found = {trial["values"]["quantize.worst_in_float"]: trial for trial in data["trials"]}
    assert set(found) == {0, 4} and {trial["state"] for trial in data["trials"]} == {"finished"}
    assert found[4]["size_bytes"] > found[0]["size_bytes"] and found[4]["accuracy"] > found[0]["accuracy"] + 0.1
    names = [entry.name for entry in api.open_store().entries()]
    assert names.count("rank_layers") == 1 and names.count("keep_worst") == 1
    if data["chosen_trial"] is not None:  # on a busy machine none may be proven faster
        number = data["trials"][data["chosen_trial"]]["values"]["quantize.worst_in_float"]
        assert load_recipe(search / "edgetune.searched.toml").quantize.worst_in_float == number


def test_a_searched_recipe_of_someone_else_is_not_overwritten(search):
    mine = search / "edgetune.searched.toml"
    mine.write_text("# by hand\n")
    with pytest.raises(InputError, match="was not written by this search"):
        api.search()
    assert not [entry for entry in api.open_store().entries() if entry.name == "finetune"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "arm-cpu"], "cannot be timed here"),
        (["--target", "jetson"], "cannot be timed here"),
        (["--target", "toaster"], "toaster"),
        (["--storage", "oracle+nonsense://x"], "no driver"),
        (["--join", "http://here:1"], "no address of a search"),
        (["--join", "grpc://a:1", "--serve", "b:2"], "--join takes the storage"),
        (["--serve", "nowhere"], "no address of a search"),
    ],
)
def test_bad_options_get_a_sentence(search, options, words):
    done = CliRunner().invoke(cli, ["search", *options])
    assert done.exit_code == 2, done.output
    assert words in done.stderr and "Traceback" not in done.stderr


def test_energy_is_an_objective_where_the_processor_tells_it(search, monkeypatch, tmp_path_factory):
    edit(search, "trials = 4", "trials = 2\nenergy = true")
    monkeypatch.setattr(sensors, "POWERCAP", search / "nothing")
    done = CliRunner().invoke(cli, ["search"])
    assert done.exit_code == 2 and "not readable here" in done.output and "leave `energy` out" in done.output

    package = tmp_path_factory.mktemp("powercap") / "intel-rapl:0"
    package.mkdir()
    for name, content in (("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "262143328850")):
        (package / name).write_text(content)
    monkeypatch.setattr(sensors, "POWERCAP", package.parent)
    monkeypatch.setattr("edgetune.measure.energy.SECONDS", 0.05)
    ended = threading.Event()

    def rise():
        """A processor of 10 W, whatever it does, whose counter takes its place in one piece as the kernel's does."""
        started = time.monotonic()
        while not ended.wait(0.002):
            (package / "new").write_text(str(int(1e7 * (time.monotonic() - started))))
            (package / "new").replace(package / "energy_uj")

    thread = threading.Thread(target=rise)
    thread.start()
    try:
        done = CliRunner().invoke(cli, ["search"])
    finally:
        ended.set()
        thread.join()
    assert done.exit_code in (0, 3), done.output  # 3: on a busy machine none may be proven faster
    data = json.loads((search / "search/search.json").read_text())
    assert data["objectives"] == ["accuracy", "latency_ratio", "energy_ratio"]
    for trial in data["trials"]:  # at the same power, what takes longer takes more
        assert 0.2 < trial["energy_ratio"] * trial["speedup"]["value"] < 5
