"""The command line as a user types it: help, JSON, messages and exit codes; and what it must not load."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from small_engines import write_onnx

from edgetune.cli import cli

COMMANDS = [
    ["init"], ["plan"], ["build"], ["report"], ["targets"], ["targets", "show"], ["targets", "probe"], ["doctor"],
    ["cache", "size"], ["cache", "prune"], ["completion"], ["validate"], ["lr-find"], ["device-times"], ["bench"],
    ["check"], ["compare"], ["diagnose"], ["bundle"],
    ["tune"], ["search"],
]  # fmt: skip


def invoke(*args: str):
    return CliRunner().invoke(cli, list(args))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_json_and_verbose(command):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    for part in ("Example", "--json", "--verbose"):
        assert part in result.output, part


def test_python_dash_m_works():
    done = subprocess.run([sys.executable, "-m", "edgetune", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"edgetune, version \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("args", [["--help"], ["targets"], ["targets", "--json"]])
def test_output_that_cannot_be_written_is_told_in_a_sentence(args):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgetune", *args]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    told = "error: cannot write to stdout: No space left on device\n  files that a command made are kept\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stderr_leaves_the_exit_code(tmp_path):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgetune", "check", str(tmp_path / "nowhere")]
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


def test_letters_that_the_output_cannot_hold_are_written_as_codes(tmp_path):
    rows = "".join(f"words {i} of {label},{label}\n" for i in range(9) for label in ("caf\u00e9", "\u0436"))
    (tmp_path / "t.csv").write_text("text,label\n" + rows, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "edgetune", "check", str(tmp_path / "t.csv")],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True,
    )  # fmt: skip
    assert "caf\u00e9: " in done.stdout.decode("latin-1") and rb"\u0436: " in done.stdout


@pytest.mark.parametrize("args", [["--help"], ["targets"], ["targets", "show", "jetson"], ["build", "--help"]])
def test_starting_up_loads_no_heavy_library(args):
    code = (
        "import sys; from click.testing import CliRunner; from edgetune.cli import cli\n"
        f"assert CliRunner().invoke(cli, {args!r}).exit_code == 0\n"
        "print([n for n in ('torch', 'onnxruntime', 'onnx', 'scipy', 'numpy', 'PIL') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_validate_tells_equal_findings_once_and_exits_3(tmp_path):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    def scale(name):
        return numpy_helper.from_array(np.asarray(0.1, np.float32), name)

    zero_point = numpy_helper.from_array(np.asarray(7, np.int8), "z")
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q1")]
    nodes += [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "d1")]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", made[:1], made[1:], [scale("s"), zero_point])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "m.onnx")
    result = invoke("validate", str(tmp_path / "m.onnx"), "--for", "tensorrt-10.3")
    assert result.exit_code == 3 and "q1 (QuantizeLinear) and 1 more: has a zero point other than 0" in result.output
    assert "TensorRT says: Non-zero zero point is not supported." in result.output
    listed = invoke("validate", str(tmp_path / "m.onnx"), "--for", "10.3", "--json")
    assert listed.exit_code == 3 and {item["rule"] for item in json.loads(listed.output)} == {"zero-point"}
    assert invoke("validate", str(tmp_path / "none.onnx"), "--for", "10.3").exit_code == 2


def test_check_tells_a_leak_and_exits_3_and_the_build_does_not_begin(project):
    assert invoke("check").exit_code == 0 and "error" not in invoke("check", "shapes").output
    (project / "shapes/test/blob/leak.png").write_bytes((project / "shapes/train/blob/000.png").read_bytes())
    result = invoke("check", "shapes", "--json", "--fix", "clean.csv")
    assert result.exit_code == 3
    listed = json.loads(result.stdout)
    assert listed["failed"] and listed["findings"][0]["id"] == "leak" and listed["left_out"] == 1
    fixed = invoke("check", "shapes", "--fix", "again.csv")
    assert "wrote again.csv without 1 of the pictures" in fixed.output
    built = invoke("build")
    assert built.exit_code == 2 and "train/blob/000.png = test/blob/leak.png" in built.stderr
    recipe = project / "edgetune.toml"
    recipe.write_text(recipe.read_text().replace('path = "shapes"', 'path = "clean.csv"'))
    assert invoke("check").exit_code == 0
    assert invoke("check", "nowhere").exit_code == 2


def test_targets_list_and_show():
    listed = json.loads(invoke("targets", "--json").output)
    assert {"x86-cpu", "jetson-orin-nano"} <= {target["name"] for target in listed}
    shown = invoke("targets", "show", "jetson").output
    keys = {line.split()[0] for line in shown.splitlines()[1:] if line[2] != " "}  # those of target files
    assert {"arch", "memory_mb", "scheme.activation", "backend_options.version", "source:"} <= keys
    assert 'precisions                  ["int8", "fp16"]' in shown


def test_an_unknown_target_names_the_nearest(project):
    result = invoke("build", "--target", "x86-cpuu")
    assert result.exit_code == 2 and "did you mean `x86-cpu`?" in result.output


def test_doctor_and_cache(project):
    found = json.loads(invoke("doctor", "--json").output)
    assert found["machine"] and found["versions"]["torch"] and "tensorrt" in str(found["targets"]["nvidia-gpu"]).lower()
    assert json.loads(invoke("cache", "size", "--json").output)["kinds"] == {}
    assert json.loads(invoke("cache", "prune", "--json").output) == {"removed": 0, "bytes": 0}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    assert "_EDGETUNE_COMPLETE" in invoke("completion", shell).output


def test_init_writes_a_recipe_that_plans_and_never_overwrites(project):
    result = invoke("init", "shapes", "--output", "new.toml")
    assert result.exit_code == 0, result.output
    assert "mobilenet_v2" in Path("new.toml").read_text()
    planned = invoke("plan", "new.toml", "--json")
    assert planned.exit_code == 0, planned.output
    assert all(step["cached"] is not True for step in json.loads(planned.output)["steps"])
    again = invoke("init", "shapes", "--output", "new.toml")
    assert again.exit_code == 2 and "not overwritten" in again.output


def test_init_says_what_it_notes_and_to_check_first(project):
    result = invoke("init", "shapes", "--output", "new.toml")
    assert "note: " not in result.output and result.output.endswith("next: edgetune build new.toml\n")
    Path("shapes/train/blob/000.png").write_bytes(b"")
    for path in sorted(Path("shapes/train/cross").iterdir())[5:]:
        path.unlink()
    Path("my recipes").mkdir()
    result = invoke("init", "shapes", "--output", "my recipes/new.toml")
    assert "note: 1 of " in result.output and "cannot be used" in result.output
    assert "note: unbalanced: 24 training images of 'blob', 5 of 'cross'" in result.output
    shown = "'my recipes/new.toml'"
    assert result.output.endswith(f"next: edgetune check {shown}, then edgetune build {shown}\n")
    notes = json.loads(invoke("init", "shapes", "--output", "third.toml", "--json").output)["notes"]
    text = Path("third.toml").read_text()
    assert len(notes) == 3 and all(f"# Note: {note}\n" in text for note in notes)


def test_a_run_dir_with_other_files_is_left_alone(project):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    result = invoke("build", "--run-dir", "mine")
    assert result.exit_code == 2 and "nothing was changed" in result.output
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_report_without_a_run(project):
    result = invoke("report")
    assert result.exit_code == 2 and "edgetune build" in result.output


# --- bad input: message and exit code ----------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_missing_and_empty_dataset(project):
    Path("edgetune.toml").write_text(Path("edgetune.toml").read_text().replace('"shapes"', '"nowhere"'))
    result = invoke("build")
    assert result.exit_code == 2 and "there is no dataset at" in result.output
    Path("nowhere").mkdir()
    result = invoke("build")
    assert result.exit_code == 2 and "holds no images in class folders" in result.output


def test_a_class_that_train_lacks_and_one_class_only(project):
    Path("shapes/test/dots").mkdir()
    Image.new("RGB", (8, 8)).save("shapes/test/dots/1.png")
    result = invoke("build")
    assert result.exit_code == 2 and "(dots) of test do not occur in train" in result.output
    for split in ("train", "val", "test"):
        for kind in ("cross", "stripes", "dots"):
            for path in Path(f"shapes/{split}/{kind}").glob("*"):
                path.unlink()
    result = invoke("build")
    assert result.exit_code == 2 and "one class only: blob" in result.output


def spoil(folder: Path) -> None:
    whole = Path("shapes/train/blob/000.png")
    Image.open(whole).resize((400, 400)).save(folder / "cut.jpg", quality=95)
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:3000])
    (folder / "empty.jpg").write_bytes(b"")
    Image.open(whole).save(folder / "moving.gif")
    (folder / "moving.gif").rename(folder / "really_a_gif.jpg")
    (folder / "bomb.png").write_bytes(png_header(40_000, 40_000))
    (folder / "dangling.png").symlink_to("nothing_here")
    (folder / "notes.jpg").write_text("not an image")


def test_bad_files_are_listed_together(project):
    spoil(Path("shapes/train/blob"))
    result = invoke("build")
    assert result.exit_code == 2
    assert "6 of 138 samples cannot be used" in result.output
    for expected in (
        "cut.jpg is damaged", "empty.jpg is empty", "really_a_gif.jpg is a GIF file named .jpg",
        "bomb.png has", "dangling.png cannot be read", "notes.jpg is not an image", 'on_bad_file = "skip"',
    ):  # fmt: skip
        assert expected in result.output, expected
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_bad_files_can_be_skipped_and_are_counted_in_the_report(project):
    spoil(Path("shapes/train/blob"))
    text = Path("edgetune.toml").read_text()
    Path("edgetune.toml").write_text(text.replace("image_size = 40", 'image_size = 40\non_bad_file = "skip"'))
    result = invoke("build", "--json")
    assert result.exit_code in (0, 3), result.output
    report = json.loads(result.stdout)
    assert len(report["dataset"]["skipped"]) == 6
    assert report["dataset"]["licence"] == {"files": [], "spdx": None}
    assert any("really_a_gif.jpg" in finding for finding in report["data_findings"])


def with_weights(name: str) -> None:
    text = Path("edgetune.toml").read_text()
    Path("edgetune.toml").write_text(text.replace("pretrained = false", f'weights = "{name}"'))


def test_missing_weights(project):
    with_weights("none.safetensors")
    result = invoke("build")
    assert result.exit_code == 2 and "there is no weights file" in result.output


def test_weights_that_do_not_fit_name_the_keys(project):
    save_file({"0.weight": torch.zeros(16, 3, 5, 5), "extra": torch.zeros(1)}, "odd.safetensors")
    with_weights("odd.safetensors")
    result = invoke("build")
    assert result.exit_code == 2
    assert "0.weight: expected [16, 3, 3, 3], the file has [16, 3, 5, 5]" in result.output


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(project):
    class Evil:
        def __reduce__(self):
            return os.system, ("touch pwned",)

    torch.save({"0.weight": Evil()}, "evil.pt")
    with_weights("evil.pt")
    result = invoke("build")
    assert result.exit_code == 2 and "would run code" in result.output
    assert not Path("pwned").exists()


def test_damaged_weights(project):
    Path("half.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with_weights("half.safetensors")
    result = invoke("build")
    assert result.exit_code == 2 and "damaged" in result.output


def test_a_factory_that_is_not_there(project):
    text = Path("edgetune.toml").read_text()
    Path("edgetune.toml").write_text(text.replace("tiny_network:tiny", "tiny_network:tny"))
    result = invoke("build")
    assert result.exit_code == 2 and "has no function tny" in result.output and "tiny" in result.output


BAD_NETWORK = """

class Bad(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.net = tiny(num_classes)

    def forward(self, x):
        return self.net(x) / (0.0 if self.training else 1.0)


def bad(num_classes):
    return Bad(num_classes)
"""


@pytest.mark.slow
def test_a_loss_that_is_never_finite(project):
    """Of a network whose outputs are finite until it is trained; others are refused before."""
    Path("tiny_network.py").write_text(Path("tiny_network.py").read_text() + BAD_NETWORK)
    text = Path("edgetune.toml").read_text()
    Path("edgetune.toml").write_text(text.replace("tiny_network:tiny", "tiny_network:bad"))
    done = subprocess.run([sys.executable, "-m", "edgetune", "build"], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "NaN or infinite" in done.stderr and "nan-batch.safetensors" in done.stderr and "Traceback" not in done.stderr
    )


@pytest.mark.slow
def test_no_space_left(project):
    small = project / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small]).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgetune", "build", "--cache-dir", str(small)], capture_output=True, text=True
        )
        assert done.returncode == 1 and "no space left" in done.stderr and "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", small], check=True)


def test_json_goes_to_stdout_and_nothing_else_does(project):
    done = subprocess.run(
        [sys.executable, "-m", "edgetune", "plan", "--json"], capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout)["steps"]) == 18


def test_bench_compares_files_and_keeps_the_raw_values(tmp_path):
    a, b = write_onnx(tmp_path / "a.onnx"), write_onnx(tmp_path / "b.onnx", repeat=40)
    out = tmp_path / "bench.json"
    quick = ["--min-runs", "40", "--min-seconds", "0"]
    result = invoke("bench", str(a), str(b), *quick, "--output", str(out), "--json")
    assert result.exit_code == 0, result.output
    shown, kept = json.loads(result.stdout), json.loads(out.read_text())
    assert "raw" not in shown and len(kept["raw"]["b"]["values"]) >= 40
    assert shown["engines"] == kept["engines"]
    text = invoke("bench", str(a), *quick).stdout
    assert "single-stream, batch 1, 1 thread" in text and "machine: " in text


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["{dir}/missing.onnx"], "there is no"),
        (["{dir}/broken.onnx"], "broken.onnx cannot be loaded"),
        (["{dir}/good.onnx", "--shape", "image"], "is not NAME="),
        (["{dir}/good.onnx", "--rate", "0"], "--rate is 0"),
        (["{dir}/good.onnx", "--output", "{dir}/nowhere/x.json"], "cannot write"),
        (["{dir}/good.onnx", "--batch", "0"], "--batch"),
        ([], "MODELS"),
    ],
)
def test_bench_errors_are_one_message_and_exit_2(tmp_path, args, says):
    write_onnx(tmp_path / "good.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x07garbage")
    result = invoke("bench", *(arg.format(dir=tmp_path) for arg in args))
    assert result.exit_code == 2
    assert says in result.output and "Traceback" not in result.output


def test_bench_self_check_exits_by_its_verdict_and_takes_one_model(tmp_path):
    model = str(write_onnx(tmp_path / "a.onnx", repeat=30))
    quick = ["--self-check", "--repeats", "1", "--min-runs", "40", "--min-seconds", "0"]
    result = invoke("bench", model, *quick, "--output", str(tmp_path / "check.json"), "--json")
    checked = json.loads(result.stdout)
    assert result.exit_code == (0 if checked["passed"] else 3)
    assert "raw" not in checked["rows"][0] and "raw" in json.loads((tmp_path / "check.json").read_text())["rows"][0]
    for more in ([model], ["--rate", "5"], ["--offline"]):
        refused = invoke("bench", model, *quick, *more)
        assert refused.exit_code == 2 and "takes one model" in refused.output
