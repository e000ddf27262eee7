"""Devices have older Pythons than the desk: the runtime keeps to 3.9, what is sent ahead to 3.6."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import edgetune_runtime
import pytest
from edgetune_runtime.supervisor import MARK

PACKAGE = Path(edgetune_runtime.__file__).parent
VERMIN = "import sys; from vermin.main import main; main()"
OLD = ((3, 9), (3, 10))


def needs(version, *files):
    """vermin's exit status and words: do the files' syntax, modules, functions and arguments exist in that Python?"""
    command = [sys.executable, "-c", VERMIN, f"-t={version}-", "--eval-annotations", "--violations", "--no-tips"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_runtime_keeps_to_python_3_9():
    status, words = needs("3.9", *sorted(PACKAGE.glob("*.py")))
    assert status == 0, words


def test_what_is_sent_ahead_keeps_to_python_3_6():
    status, words = needs("3.6", PACKAGE / "supervisor.py")
    assert status == 0, words


@pytest.mark.parametrize(
    "code", ["match 1:\n  case 1: pass", "print(list(zip([1], [2], strict=True)))", "import tomllib"]
)
def test_newer_python_is_noticed(tmp_path, code):
    (tmp_path / "new.py").write_text(code)
    assert needs("3.9", tmp_path / "new.py")[0] != 0


def old_python(version):
    """An interpreter of that version on this machine, or None."""
    name = f"python{version[0]}.{version[1]}"
    kept = Path.home().glob(f".pyenv/versions/{version[0]}.{version[1]}.*/bin/{name}")
    for found in filter(None, [shutil.which(name), *map(str, kept)]):
        if subprocess.run([found, "-c", "pass"], capture_output=True).returncode == 0:
            return found
    return None


@pytest.mark.parametrize("version", OLD)
def test_an_older_python_compiles_all_and_looks_at_its_device(version, tmp_path):
    python = old_python(version)
    if python is None:
        pytest.skip(f"no Python {version[0]}.{version[1]} on this machine")
    code = "import sys; [compile(open(f, encoding='utf-8').read(), f, 'exec') for f in sys.argv[1:]]"
    subprocess.run([python, "-c", code, *map(str, PACKAGE.glob("*.py"))], check=True)
    (tmp_path / "job.json").write_text('{"kind": "look"}')
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    agent = [python, "-m", "edgetune_runtime.agent", str(tmp_path / "job.json")]
    said = subprocess.run(agent, env=environment, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.removeprefix(MARK))["result"]
    assert found["versions"]["python"].startswith(f"{version[0]}.{version[1]}.")
    watch = [python, "-m", "edgetune_runtime.watch"]
    looks = subprocess.run(watch, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=True).stdout
    assert json.loads(looks)[0]["seconds"] >= 0
