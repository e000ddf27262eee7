"""``edgetune-run``: what it prints, and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgetune_runtime import __version__
from edgetune_runtime.cli import main
from PIL import Image

from edgetune.bundle.pack import pack_tar


@pytest.fixture
def green(tmp_path):
    array = np.zeros((30, 20, 3), dtype=np.uint8)
    array[..., 1] = 255
    Image.fromarray(array).save(tmp_path / "green.png")
    return str(tmp_path / "green.png")


def run(*arguments, **options):
    command = [sys.executable, "-m", "edgetune_runtime.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_prints_the_best_labels(bundle, green, capsys):
    main([str(bundle), green, green, "--top", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0] == lines[3] == green
    share, label = lines[1].split()
    assert label == "green" and 90 < float(share.rstrip("%")) <= 100


def test_a_name_with_a_line_break_stays_on_its_line(bundle, green, tmp_path, capsys):
    odd = tmp_path / "two\nlines.png"
    odd.write_bytes(Path(green).read_bytes())
    main([str(bundle), str(odd), "--top", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].endswith("two\\nlines.png")


def test_json_is_one_object_a_picture(bundle, green, tmp_path, capsys):
    pack_tar(bundle, tmp_path / "bundle.tar")
    main([str(tmp_path / "bundle.tar"), green, green, "--json", "--threads", "2"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [green, green]
    assert rows[0]["predictions"][0]["label"] == "green" and len(rows[0]["predictions"]) == 4


def test_standard_input_holds_one_sample_a_line(bundle, green):
    done = run(bundle, "-", "--json", "--top", "1", input=f"{green}\n\n{green}\r\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [green, green]
    done = run(bundle, green, "-", "--top", "1", input="nowhere.jpg")
    assert done.returncode == 2 and done.stdout.startswith(green) and "there is no file nowhere.jpg" in done.stderr


def test_bad_input_is_one_line_and_exit_code_2(bundle, green, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    for arguments, message in [
        (("nowhere.tar", green), "there is no bundle nowhere.tar"),
        ((tmp_path, green), "not a bundle"),
        ((bundle, "nowhere.jpg"), "there is no file nowhere.jpg"),
        ((bundle, tmp_path / "text.jpg"), "cannot be read as a picture"),
    ]:
        done = run(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and message in done.stderr
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["bundle"], ["b", "i", "--top", "0"], ["b", "i", "--threads", "x"], ["--no"]]
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage: edgetune-run" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "text"), [("--help", "example: edgetune-run"), ("--version", __version__)])
def test_help_and_version_load_nothing_heavy(option, text):
    code = (
        "import sys; from edgetune_runtime.cli import main\n"
        f"try: main([{option!r}])\n"
        "finally: assert not {'onnxruntime', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and text in done.stdout, done.stderr


def test_labels_print_on_every_terminal(change, green):
    bundle = change(lambda manifest: manifest.update(labels=["rot", "grün", "青", "grau"]))
    done = run(bundle, green, env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert done.returncode == 0 and r"gr\xfcn" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(bundle, green):
    command = [sys.executable, "-m", "edgetune_runtime.cli", str(bundle), *[green] * 50]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
