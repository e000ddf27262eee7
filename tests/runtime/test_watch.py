"""A process looks at the machine while something is timed, and ends with it.

No board is at hand: its tools are scripts that print what the makers' tools do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgetune_runtime import watch
from edgetune_runtime.watch import watched

PI = """#!/bin/sh
if [ -e {flag} ]; then echo throttled=0x50004; else echo throttled=0x50000; fi
"""
JETSON = """#!/bin/sh
echo $$ > {pid}
while true; do echo "CPU [1%@729] GR3D_FREQ 99%@[624] VDD_IN 4963mW/4880mW"; sleep 0.1; done
"""


def tool(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def children() -> list[int]:
    """Watching processes that this one has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"edgetune_runtime.watch" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_flag_that_comes_and_goes_is_seen_during_the_run(path):
    flag = path / "hot"
    tool(path, "vcgencmd", PI.format(flag=flag))
    with watched() as state:
        time.sleep(1.3)
        flag.touch()
        time.sleep(1.3)
        flag.unlink()
        time.sleep(0.1)
    assert "throttled now" not in state["before"]["throttle_flags"] + state["after"]["throttle_flags"]
    assert any("throttled now" in look["throttle_flags"] for look in state["during"])
    seconds = [look["seconds"] for look in state["during"]]
    assert seconds == sorted(seconds) and len(seconds) >= 2
    assert {"governor", "clock_mhz", "temperature_c"} <= set(state["during"][0])


def test_a_jetson_s_power_and_gpu_are_seen_and_its_tool_ends(path):
    tool(path, "tegrastats", JETSON.format(pid=path / "pid"))
    with watched() as state:
        time.sleep(1.5)
    assert state["during"][-1]["power_w"]["VDD_IN"] == 4.963 and state["during"][-1]["gpu_clock_mhz"] == 624
    assert until(lambda: not alive(int((path / "pid").read_text())))


def test_a_short_run_has_one_look_and_an_error_goes_through():
    with watched() as state:
        pass
    assert len(state["during"]) == 1 and set(state) == {"before", "during", "after"}
    with pytest.raises(KeyError), watched() as state:
        raise KeyError
    assert len(state["during"]) == 1 and not children()


def test_a_watcher_that_is_killed_takes_nothing_with_it():
    with watched() as state:
        assert until(children)
        os.kill(children()[0], signal.SIGKILL)
    assert state["during"] == [] and "governor" in state["after"]


def test_it_ends_with_a_process_that_is_killed(path):
    tool(path, "tegrastats", JETSON.format(pid=path / "pid"))
    code = "import time\nfrom edgetune_runtime.watch import watched\nwith watched(): time.sleep(600)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        assert until((path / "pid").exists)
        (watcher,) = [
            int(name) for name in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
    finally:
        process.kill()
        process.wait()
    assert until(lambda: not alive(watcher))
    assert until(lambda: not alive(int((path / "pid").read_text() or 0)))


def test_looking_takes_a_bounded_share_of_one_core(path, monkeypatch, capsys):
    """A tool that costs 50 ms of processor time is asked again after 5 s."""
    tool(
        path,
        "vcgencmd",
        f"#!{sys.executable}\nimport time\nwhile time.process_time() < 0.05: pass\nprint('throttled=0x0')\n",
    )
    pauses = []

    def select(*arguments):
        pauses.append(arguments[3])
        return [sys.stdin] if len(pauses) == 2 else [], [], []

    monkeypatch.setattr(watch.select, "select", select)
    monkeypatch.setattr(watch.os, "nice", lambda _: 0)
    monkeypatch.setattr(watch.signal, "signal", lambda *_: None)
    assert watch.main() == 0 and all(pause >= 5 for pause in pauses)
    assert capsys.readouterr().out.startswith("[{")


def test_a_long_run_is_thinned_and_not_cut(monkeypatch, capsys):
    rounds = iter(range(1, 1000))
    monkeypatch.setattr(watch, "MOST", 10)
    monkeypatch.setattr(watch.os, "nice", lambda _: 0)
    monkeypatch.setattr(watch.signal, "signal", lambda *_: None)
    monkeypatch.setattr(watch.machine, "changing", lambda: {"round": next(rounds)})
    seen = []

    def select(*arguments):
        seen.append(arguments[3])
        return [sys.stdin] if len(seen) == 40 else [], [], []

    monkeypatch.setattr(watch.select, "select", select)
    watch.main()
    told = json.loads(capsys.readouterr().out)
    assert told[0]["round"] == 1 and told[-1]["round"] >= 35 and len(told) < 10
    assert seen[0] == watch.SECONDS and seen[-1] > 32 * watch.SECONDS
