"""The program that devices get, spoken to over pipes as ssh would."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from edgetune_runtime import supervisor

FAST = "import sys; from edgetune_runtime import supervisor as s; s.SILENCE_SECONDS = {}; s.main(sys.stdin.buffer)"
SLEEPER = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).with_name("pids").write_text(f"{child.pid}")
print("\\x1eedgetune " + '{"child": %d}' % child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def job(tmp_path):
    """A supervisor whose job sleeps, as does a process the job started; yields (process, the latter's id)."""
    code = tmp_path / "code.zip"
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("sleeper.py", SLEEPER)
    content = code.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    order = {
        "cache": str(tmp_path / "cache"),
        "tree": {"a/b.zip": digest},
        "sizes": {digest: len(content)},
        "path": digest,
        "module": "sleeper",
        "job": {},
        "limit_seconds": 60,
    }
    path = str(Path(supervisor.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", FAST.format(2)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    assert heard(process) == {"missing": [digest]}
    process.stdin.write(content)
    process.stdin.flush()
    assert heard(process) == {"stored": digest}
    yield process, heard(process)["child"]
    process.kill()
    process.wait()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def heard(process):
    return json.loads(process.stdout.readline().decode().removeprefix(supervisor.MARK))


def gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_desk_that_falls_silent_is_taken_for_gone(job, tmp_path):
    process, child = job
    process.wait(20)
    assert gone(child) and not list((tmp_path / "cache" / "jobs").iterdir())


def test_a_desk_that_keeps_talking_is_waited_for(job):
    process, child = job
    for _ in range(8):
        time.sleep(0.5)
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert process.poll() is None and not Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].startswith(" Z")
    process.stdin.close()
    process.wait(10)
    assert gone(child)
