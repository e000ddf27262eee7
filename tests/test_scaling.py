"""`edgetune build --launcher torchrun` end to end: real processes, one killed, Ctrl-C, an error in one, bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_text import write_encoder, write_texts

from edgetune import pipeline
from edgetune.api import launching
from edgetune.api.building import make_build_plan
from edgetune.errors import InputError
from edgetune.progress import Quiet
from edgetune.store import Store

DIES = """
import os, signal
from pathlib import Path
import torch
from torch import distributed
from tiny_network import tiny as whole

def tiny(num_classes):
    network = whole(num_classes)
    mark = Path(__file__).with_name("calls" if {ranks} == (1,) else f"calls-{{os.environ.get('RANK')}}")
    def look(module, inputs):
        learning = module.training and torch.is_grad_enabled()  # not when it is tried beforehand
        if learning and distributed.is_initialized() and distributed.get_rank() in {ranks}:
            mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
            if len(mark.read_text()) == 9:
                {action}
    network.register_forward_pre_hook(look)
    return network
"""

NO_ROOM = """
import os, shutil
if os.environ.get("RANK") == "1":
    def copytree(*args, **kwargs):
        raise OSError(28, "No space left on device")
    shutil.copytree = copytree
"""


def prepare(project: Path, action: str | None = None, options: str = "", ranks: tuple[int, ...] = (1,)) -> None:
    """Float arithmetic, and a network that does ``action`` in the second process, in the ninth step."""
    recipe = project / "edgetune.toml"
    text = recipe.read_text().replace("[finetune]\n", f'[finetune]\nprecision = "fp32"\n{options}\n')
    text = text.replace("ratio = [0.0, 0.5]", "ratio = [0.0]").replace('mode = "ptq"', 'mode = "none"')
    text = text.replace("learning_rate = 0.01", "learning_rate = 0.002").replace("epochs = 6", "epochs = 2")
    if action:
        (project / "dying.py").write_text(DIES.format(action=action, ranks=ranks))
        text = text.replace("tiny_network:tiny", "dying:tiny")
    recipe.write_text(text)


def command(project: Path, *options: str) -> list[str]:
    store = str(project / "store")
    return [
        *(sys.executable, "-m", "edgetune", "build", str(project), "--target", "x86-cpu", "--cache-dir", store),
        *("--launcher", "torchrun", "--processes", "2", *options),
    ]


def environment() -> dict[str, str]:
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def build(project: Path, *options: str) -> subprocess.CompletedProcess:
    arguments = command(project, *options)
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=400)


def alone(project: Path, name: str = "finetune") -> dict[str, torch.Tensor]:
    """The weights that one process makes of the same recipe."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plan, surroundings = make_build_plan(project, None)
    last = [step.id for step in plan.steps].index(name)
    plan = replace(plan, steps=plan.steps[: last + 1], candidates=())
    outcomes = pipeline.run(plan, Store(project / "store-of-one"), surroundings, Quiet())
    torch.set_num_threads(threads)
    return load_file(outcomes[name].artifact.path / "model.safetensors")


def artifact(project: Path, name: str) -> Path:
    found = [path.parent for path in (project / "store/objects").glob("*/artifact.json")]
    return next(path for path in found if json.loads((path / "artifact.json").read_text())["name"] == name)


def assert_trained_alike(project: Path) -> None:
    made = artifact(project, "finetune")
    assert json.loads((made / "notes/training.json").read_text())["processes"] == 2
    found = load_file(made / "model.safetensors")
    # Adam divides by the size of a gradient: of one that is nearly nothing, it makes rounding visible.
    for name, weight in alone(project).items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_build_in_two_processes(project):
    prepare(project, options="mixup = 0.2")
    done = build(project, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["targets"][0]["status"] == "measured"
    assert_trained_alike(project)
    steps = {path.name for path in (project / "store/objects").iterdir()}
    alone(project)  # steps are found by the same keys, whatever number of processes made them
    assert {path.name for path in (project / "store-of-one/objects").iterdir()} <= steps
    assert not list((project / "store/work").iterdir())


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again(project):
    prepare(project, "os.kill(os.getpid(), signal.SIGKILL)")
    done = build(project, "--max-restarts", "1")
    assert done.returncode == 0, done.stderr
    assert_trained_alike(project)
    assert len((project / "calls").read_text()) == 9 + 6  # the second epoch again: nothing was saved within it


@pytest.mark.slow
def test_without_restarts_the_loss_is_told(project):
    prepare(project, "os.kill(os.getpid(), signal.SIGKILL)")
    done = build(project)
    assert done.returncode == 1
    assert "error: process 1 ended by signal 9" in done.stderr and "Traceback" not in done.stderr
    assert build(project).returncode == 0
    assert_trained_alike(project)


@pytest.mark.slow
def test_an_error_in_one_process_is_a_sentence(project):
    prepare(project, 'raise ValueError("a bad lens")')
    done = build(project, "--max-restarts", "3")
    assert done.returncode == 1
    assert done.stderr.count("error: process 1 failed: unexpected ValueError: a bad lens") == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_unexpected_error_in_all_processes_is_told_once(project):
    prepare(project, 'raise ValueError("a bad lens")', ranks=(0, 1))
    done = build(project, "--max-restarts", "3")
    assert done.returncode == 1
    assert done.stderr.count("a bad lens") == 1 and "Traceback" not in done.stderr, done.stderr
    assert "error: unexpected ValueError: a bad lens" in done.stderr


@pytest.mark.slow
def test_a_process_without_room_for_its_copy_is_a_sentence(project):
    prepare(project)
    (project / "sitecustomize.py").write_text(NO_ROOM)
    paths = f"{project}{os.pathsep}{environment()['PYTHONPATH']}"
    surroundings = {**environment(), "PYTHONPATH": paths}
    done = subprocess.run(command(project), env=surroundings, capture_output=True, text=True, timeout=400)
    assert done.returncode == 1
    assert "error: process 1 failed: unexpected OSError: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
def test_a_full_disk_of_the_first_process_is_told_as_ever(project):
    prepare(project, 'raise OSError(28, "No space left on device")', ranks=(0,))
    done = build(project)
    assert done.returncode == 1
    assert f"error: no space left for {project / 'store'}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_saves_and_the_next_build_goes_on(project):
    prepare(project, "import time; time.sleep(3); Path(__file__).with_name('there').touch()")
    running = subprocess.Popen(command(project), env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (project / "calls").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    while len((project / "calls").read_text()) < 9:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "stopped; training is saved" in told and "Traceback" not in told
    assert list((project / "store/work").glob("*/scratch/training.safetensors"))
    assert build(project).returncode == 0
    assert_trained_alike(project)
    assert len((project / "calls").read_text()) == 12  # no step was taken twice


@pytest.mark.slow
def test_texts_are_learned_in_two_processes(tmp_path):
    write_texts(tmp_path / "texts", splits={"train": 15, "val": 6, "test": 6})
    write_encoder(tmp_path / "encoder")
    (tmp_path / "edgetune.toml").write_text(
        '[model]\nname = "transformers/tiny"\nweights = "encoder"\nargs = {hidden_dropout_prob = 0.0, '
        'attention_probs_dropout_prob = 0.0}\n[data]\npath = "texts"\nmax_length = 24\n'
        "[finetune]\nepochs = 2\nbatch_size = 7\n"
        'learning_rate = 1e-4\nprecision = "fp32"\n[quantize]\nmode = "none"\n'
        "[bench]\nmin_runs = 20\nmin_seconds = 0.05\n"
    )
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    assert_trained_alike(tmp_path)


@pytest.mark.slow
def test_more_processes_than_samples_of_a_batch(project):
    prepare(project)
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace("batch_size = 12", "batch_size = 2"))
    done = build(project, "--processes", "3")
    assert done.returncode == 2
    assert "error: 3 processes cannot share batches of 2 samples" in done.stderr, done.stderr


def test_options_that_need_a_launcher(project):
    from click.testing import CliRunner

    from edgetune.cli import cli

    done = CliRunner().invoke(cli, ["build", str(project), "--processes", "2"])
    assert done.exit_code == 2 and "--launcher torchrun" in done.output
    done = CliRunner().invoke(cli, ["build", str(project), "--launcher", "torchrun", "--processes", "1"])
    assert done.exit_code == 2


def test_a_pytorch_without_torchrun(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.distributed.launcher.api", None)
    with pytest.raises(InputError, match="has no torchrun"):
        launching.launch(["build"], processes=2)


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="this machine has GPUs enough")
def test_how_many_processes_must_be_said():
    with pytest.raises(InputError, match="say how many"):
        launching.launch(["build"])
