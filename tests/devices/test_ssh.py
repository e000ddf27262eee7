"""The system's ssh against a server in this process: what arrives, what is left running, and what is said of faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from edgetune_runtime import supervisor
from hypothesis import given
from hypothesis import strategies as st
from small_engines import bundle, write_onnx
from ssh_server import HOST, serving

from edgetune.devices.ssh import CONFIG, Address, connect, parse_address, runtime_zip
from edgetune.errors import BackendError, DeviceError, EdgetuneError, InputError
from edgetune.hashing import digest_file

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client on this machine")
LOOK = {"kind": "look"}


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serving(tmp_path / "server") as found:
        monkeypatch.setenv(CONFIG, str(found.config))
        yield found


def objects(server):
    return sorted(path.name for path in (server.home / ".cache/edgetune-device/objects").glob("*"))


def jobs(server):
    return list((server.home / ".cache/edgetune-device/jobs").glob("*"))


def agents(server):
    """Process ids of the agents that run for this server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if b"edgetune_runtime.agent" in command and str(server.home).encode() in command:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def processes(server):
    """Ids of everything of the runtime's that runs in this server's folders: agents, and who watches for them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = (folder / "cwd").readlink().is_relative_to(server.home)
            if ours and b"edgetune_runtime." in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@contextmanager
def long_job(server, tmp_path, limit_seconds=300):
    """A measurement that takes minutes, in a thread; yields the device and what it raised."""
    job, files = bench_job(write_onnx(tmp_path / "long.onnx"), tmp_path, max_seconds=200, min_seconds=200)
    raised = []

    def work(device):
        try:
            device.do(job, files, limit_seconds=limit_seconds)
        except EdgetuneError as problem:
            raised.append(problem)

    with connect(server.address) as device:
        thread = threading.Thread(target=work, args=(device,))
        thread.start()
        yield raised
        thread.join(30)
        assert not thread.is_alive()


def bench_job(path, tmp_path, **spec):
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, i0=np.ones((1, 3, 8, 8), dtype=np.float32))
    engine = {"name": "e", "file": "e/engine.onnx", "bundle": None, "session": {}, "threads": 1}
    job = {
        "kind": "bench",
        "engines": [{**engine, "inputs": "inputs.npz", "names": ["image"]}],
        "spec": {"threads": 1, "min_runs": 40, "min_seconds": 0.0, "max_seconds": 5.0, **spec},
        "scenario": {},
        "seed": 0,
    }
    return job, {"e/engine.onnx": path, "inputs.npz": inputs}


def test_a_device_is_looked_at_and_files_are_sent_once(server):
    with connect(server.address) as device:
        found = device.do(LOOK, {}, limit_seconds=60)
        assert found["versions"]["onnxruntime"] != "missing"
        assert found["device"]["arch"] == os.uname().machine
        assert objects(server) == [digest_file(runtime_zip())]
        before = device.sent_bytes
        device.do(LOOK, {}, limit_seconds=60)
        assert device.sent_bytes - before < runtime_zip().stat().st_size / 2
    assert jobs(server) == []


def test_an_engine_is_measured_there_as_here(server, tmp_path):
    job, files = bench_job(write_onnx(tmp_path / "a.onnx"), tmp_path)
    ticks = []
    with connect(server.address) as device:
        found = device.do(job, files, limit_seconds=120, progress=lambda *tick: ticks.append(tick))
    assert len(found["raw"]["e"]["values"]) >= 40
    assert len(found["raw"]["e"]["runs_by_load"]) == 10
    assert len(found["fresh"]["e"]) == 3
    assert set(found["telemetry"]) == {"before", "during", "after"}
    assert found["telemetry"]["during"][0]["seconds"] >= 0
    assert [tick[0] for tick in ticks[-10:]] == list(range(1, 11))


def test_an_emulated_device_times_nothing(server, tmp_path):
    server.environment["EDGETUNE_EMULATED"] = "1"
    job, files = bench_job(write_onnx(tmp_path / "a.onnx"), tmp_path)
    with connect(server.address) as device:
        found = device.do(job, files, limit_seconds=120)
    assert found["raw"] is None and found["fresh"] == {"e": []} and found["device"]["emulated"] is True
    assert "values" not in json.dumps(found)


def test_logits_come_in_parts(server, tmp_path):
    engine = tmp_path / "bundle"
    bundle(engine, 1)
    np.save(tmp_path / "p.npy", np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8))
    parts = []
    files = {**{f"b/{path.name}": path for path in engine.iterdir()}, "p.npy": tmp_path / "p.npy"}
    with connect(server.address) as device:
        job = {"kind": "logits", "bundle": "b", "pixels": ["p.npy"], "batch": 2}
        assert device.do(job, files, limit_seconds=60, part=parts.append) == {"samples": 5}
        assert [part["shape"] for part in parts] == [[2, 10], [2, 10], [1, 10]]
        assert device.do({"kind": "check", "bundle": "b"}, files, limit_seconds=60) == {"golden_difference": None}


def test_a_broken_engine_is_the_engine_s_fault(server, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    job, files = bench_job(tmp_path / "bad.onnx", tmp_path)
    with connect(server.address) as device, pytest.raises(BackendError, match=f"on {HOST}: e: "):
        device.do(job, files, limit_seconds=60)


# --- faults ---------------------------------------------------------------------------------


def test_a_connection_that_drops_in_mid_upload_leaves_no_half_file(server, tmp_path):
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(4 << 20))
    server.drop_after_bytes = 2 << 20
    with connect(server.address) as device, pytest.raises(DeviceError, match="while files were sent"):
        device.do(LOOK, {"big": big}, limit_seconds=60)
    assert until(lambda: digest_file(big) not in objects(server))
    assert until(lambda: not [name for name in objects(server) if name.startswith("partial-")])
    server.drop_after_bytes = None
    with connect(server.address) as device:
        device.do(LOOK, {"big": big}, limit_seconds=60)
    assert digest_file(big) in objects(server)


def test_a_connection_that_drops_in_mid_run_leaves_nothing_running(server, tmp_path):
    with long_job(server, tmp_path) as raised:
        assert until(lambda: len(processes(server)) == 2)  # it measures, and is watched
        server.drop()
        assert until(lambda: not processes(server))
    assert isinstance(raised[0], DeviceError) and "the connection ended while the job ran" in raised[0].message
    assert until(lambda: not jobs(server))


def test_the_device_ends_a_job_whose_time_is_over(server, tmp_path):
    with long_job(server, tmp_path, limit_seconds=3) as raised:
        assert until(lambda: raised)
    assert "did not end within 3 s" in raised[0].message
    assert not agents(server) and not jobs(server)


def test_a_job_that_is_killed_is_told(server, tmp_path):
    with long_job(server, tmp_path) as raised:
        assert until(lambda: agents(server))
        time.sleep(0.5)
        for process in agents(server):
            os.kill(process, signal.SIGKILL)
    assert "killed by signal 9" in raised[0].message and "memory" in raised[0].hint


def test_the_job_dies_with_a_supervisor_that_is_killed(server, tmp_path):
    with long_job(server, tmp_path) as raised:
        assert until(lambda: agents(server))
        time.sleep(0.5)
        parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in agents(server)}
        for process in parents - {os.getpid()}:
            os.kill(process, signal.SIGKILL)
        assert until(lambda: not agents(server))
    assert isinstance(raised[0], DeviceError)


def test_two_users_at_once_send_the_same_files(server, tmp_path):
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20))
    results = []

    def use():
        with connect(server.address) as device:
            results.append(device.do(LOOK, {"big": big}, limit_seconds=60))

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3
    assert objects(server) == sorted({digest_file(big), digest_file(runtime_zip())})


def test_two_users_measure_one_after_the_other(server, tmp_path):
    """Two desks time an engine each: one waits, and says so, until the other has ended."""
    job, files = bench_job(write_onnx(tmp_path / "a.onnx"), tmp_path, min_seconds=0.3)
    told = {"a": [], "b": []}

    def use(notes):
        with connect(server.address) as device:
            device.do(job, files, limit_seconds=120, progress=lambda *tick: notes.append((time.monotonic(), tick[2])))

    threads = [threading.Thread(target=use, args=(notes,)) for notes in told.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    notes = [note for one in told.values() for _, note in one]
    assert any("another measurement" in note for note in notes)
    spans = sorted([t for t, note in one if "waiting" not in note] for one in told.values())
    assert spans[0][-1] < spans[1][0]


def test_a_jump_host_of_ssh_config_is_gone_through(server, tmp_path, monkeypatch):
    with serving(tmp_path / "jump") as jump:
        entry = jump.config.read_text().replace(f"Host {HOST}", "Host jump")
        server.config.write_text(server.config.read_text() + "  ProxyJump jump\n" + entry)
        with connect(server.address) as device:
            assert device.do(LOOK, {}, limit_seconds=60)["device"]["cores"] >= 1
    assert jump.forwarded == [server.port]


def test_a_file_that_was_damaged_there_is_sent_again(server):
    with connect(server.address) as device:
        device.do(LOOK, {}, limit_seconds=60)
        path = server.home / ".cache/edgetune-device/objects" / digest_file(runtime_zip())
        path.write_bytes(b"x" * path.stat().st_size)
        device.do(LOOK, {}, limit_seconds=60)
    assert digest_file(path) == path.name


def test_a_clock_that_is_years_off_harms_nothing(server):
    with connect(server.address) as device:
        device.do(LOOK, {}, limit_seconds=60)
        path = server.home / ".cache/edgetune-device/objects" / digest_file(runtime_zip())
        for moment in (0, 2**31):  # a board without a battery begins in 1970
            os.utime(path, (moment, moment))
            device.do(LOOK, {}, limit_seconds=60)
            assert path.is_file()


def test_a_full_disk_is_told_with_numbers(server, tmp_path, small_disk):
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(9 << 20))
    server.environment["XDG_CACHE_HOME"] = str(small_disk)
    with connect(server.address) as device, pytest.raises(DeviceError, match=r"MB left, 9\.\d MB are needed") as caught:
        device.do(LOOK, {"big": big}, limit_seconds=60)
    assert "rm -r .cache/edgetune-device" in caught.value.hint


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_files(tmp_path):
    """A python whose processes can write no file of over 2 MB, as on a disk that others fill meanwhile."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\nulimit -f 2048\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return f"ssh://{HOST}?python={python}"


def test_a_disk_that_fills_up_in_mid_upload(server, tmp_path, small_files):
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(3 << 20))
    with connect(small_files) as device, pytest.raises(DeviceError, match="the disk: File too large") as caught:
        device.do(LOOK, {"big": big}, limit_seconds=60)
    assert "rm -r .cache/edgetune-device" in caught.value.hint
    assert objects(server) in ([], [digest_file(runtime_zip())]) and not jobs(server)


def test_a_disk_that_fills_up_in_mid_run(server, tmp_path, small_files):
    """The engine's inputs, a few hundred bytes packed, are written out there for a process of its own."""
    job, files = bench_job(write_onnx(tmp_path / "a.onnx", shape=("batch", 3, 512, 512)), tmp_path)
    np.savez_compressed(files["inputs.npz"], i0=np.ones((1, 3, 512, 512), dtype=np.float32))
    with connect(small_files) as device, pytest.raises(DeviceError, match=r"e: .*File too large") as caught:
        device.do(job, files, limit_seconds=60)
    assert "rm -r .cache/edgetune-device" in caught.value.hint and until(lambda: not jobs(server))


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server.environment["XDG_CACHE_HOME"] = str(tmp_path / "file")
    with connect(server.address) as device, pytest.raises(DeviceError, match="Not a directory") as caught:
        device.do(LOOK, {}, limit_seconds=60)
    assert "writable" in caught.value.hint


def test_no_python_there(server):
    with connect(f"ssh://{HOST}?python=/nowhere/python3") as device, pytest.raises(DeviceError) as caught:
        device.do(LOOK, {}, limit_seconds=60)
    assert caught.value.message == f"{HOST} has no /nowhere/python3"


def test_a_python_without_onnxruntime(server, tmp_path):
    job, files = bench_job(write_onnx(tmp_path / "a.onnx"), tmp_path)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with connect(f"ssh://{HOST}?python={bare}/bin/python") as device:
        assert device.do(LOOK, {}, limit_seconds=60)["versions"]["onnxruntime"] == "missing"
        with pytest.raises(DeviceError, match="has no numpy and no onnxruntime") as caught:
            device.do(job, files, limit_seconds=60)
    assert "pip install onnxruntime" in caught.value.hint


def test_an_unknown_host_key_is_refused_with_what_to_do(server):
    server.known_hosts.write_text("")
    with connect(server.address) as device, pytest.raises(DeviceError, match="host key is not known") as caught:
        device.do(LOOK, {}, limit_seconds=60)
    assert f"ssh {HOST}" in caught.value.hint
    assert not (server.home / ".cache").exists()


def test_another_host_key_is_refused(server, tmp_path):
    with serving(tmp_path / "other") as other:
        key = other.known_hosts.read_text().split(" ", 1)[1]
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {key}")
        with connect(server.address) as device, pytest.raises(DeviceError, match="not the one that is known") as caught:
            device.do(LOOK, {}, limit_seconds=60)
    assert "ssh-keygen -R" in caught.value.hint


def test_a_wrong_key_is_told(server, tmp_path):
    with serving(tmp_path / "other") as other:
        shutil.copyfile(other.config.with_name("id"), server.config.with_name("id"))
        with connect(server.address) as device, pytest.raises(DeviceError, match="refuses the key") as caught:
            device.do(LOOK, {}, limit_seconds=60)
    assert "ssh-copy-id" in caught.value.hint


def test_nobody_answers(server):
    server.config.write_text("")
    for address, words in (("ssh://127.0.0.1:9", "cannot be reached"), ("ssh://no.such.invalid", "no such host")):
        with connect(address) as device, pytest.raises(DeviceError, match=words):
            device.do(LOOK, {}, limit_seconds=60)


def test_a_talkative_login_and_an_old_python(server, tmp_path):
    talkative = tmp_path / "python"
    talkative.write_text(f'#!/bin/sh\necho "Welcome! {{}}"\nexec {sys.executable} "$@"\n')
    talkative.chmod(0o755)
    with connect(f"ssh://{HOST}?python={talkative}") as device:
        assert device.do(LOOK, {}, limit_seconds=60)["device"]["cores"] >= 1


def test_a_python_that_is_too_old_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 1))
    assert supervisor.main(None) == 1
    answer = json.loads(capsys.readouterr().out.removeprefix(supervisor.MARK))
    assert answer["kind"] == "python" and "3.9 or newer" in answer["error"]


# --- addresses ------------------------------------------------------------------------------


def test_addresses():
    assert parse_address("ssh://pi@Board.local:2222") == Address(host="Board.local", user="pi", port=2222)
    assert parse_address("ssh://board") == Address(host="board")
    assert parse_address("ssh://[fe80::1]:22").host == "fe80::1"
    assert parse_address("ssh://board?python=~/venv/bin/python").python == "~/venv/bin/python"


@pytest.mark.parametrize(
    "text",
    [
        "board", "http://board", "ssh://", "ssh://a b", "ssh://-oProxyCommand=x", "ssh://u:secret@board", "ssh://board/x",
        "ssh://board:0x", "ssh://board:70000", "ssh://board?python=a;rm", "ssh://board?shell=x", "ssh://-l@board",
        "ssh://board?python=-c",
    ],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(InputError):
        parse_address(text)


@given(st.text(max_size=30))
def test_no_text_makes_an_option_or_a_second_command(text):
    try:
        address = parse_address(f"ssh://{text}")
    except InputError:
        return
    for part in (address.host, address.user or "x", address.python):
        assert part[0] != "-" and not set(part) & set(" ;|&$`'\"\n\\<>(){}*?!#")
