"""Every command of README and docs is one that the program takes; and those that can run here do run."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from edgetune_runtime import cli as device_cli
from s3_server import s3_server
from shown_commands import ROOT, named, pages, python_blocks, shown, words
from ssh_server import serving
from workshop import fill, fill_texts, name_hosts

from edgetune.cli import cli
from edgetune.devices.ssh import CONFIG

# Commands that are parsed and not run here, by a part of them, and why.
PARSED_ONLY = {
    "arm-cpu --device": "the device is no Arm processor; tests/devices/test_arm_emulator.py",
    "jetson --device": "TensorRT builds on its own device; with a stand-in in tests/test_tensorrt_build.py",
    "jetson-orin-nano --device": "the same",
    "--launcher": "several processes, each with a start of its own; tests/test_scaling.py",
    "--serve": "waits for workers on other machines; tests/test_tune_workers.py",
    "--join": "the other half of that",
    "postgresql://": "workers that wait for each other; tests/test_tune_workers.py and tests/test_search_roles.py",
}
# What makes a command short here, or is asked for at the keyboard there.
MORE = {
    "cache prune": ["--yes"],
    "bench": ["--min-runs", "10", "--min-seconds", "0.01", "--max-seconds", "0.3"],
    "bench --self-check": ["--repeats", "1"],
    "diagnose": ["--samples", "8"],
    "lr-find": ["--steps", "20"],
}
# Exit codes by how a command begins. 3: what was looked at may not pass, such as so small a network its budget.
EXPECTED = {
    "check": (0, 3),
    "compare": (0, 3),
    "build": (0, 3),
    "build --target jetson": (4,),
    "search": (0, 3),
    "validate": (0, 3),
    "bench --self-check": (0, 3),
}
# Stands here for what a command names.
STANDS_FOR = {"/mnt/shared/edgetune": "shared", "target NAME": "target x86-cpu", "1x3x224x224": "1x3x40x40"}

BUNDLES = ROOT / "docs/bundles.md"
STAMP = re.compile(r"runs/(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)")  # of the runs that pages show
EVERY = [(path, line, command) for path in pages() for line, command in shown(path)]
PYTHON = [(path, number, code) for path in pages() for number, code in enumerate(python_blocks(path))]
# By the page and the block's place on it; why.
PYTHON_NOT_RUN = {(BUNDLES, 0): "frames of a camera, for an engine that takes pixels; tests/runtime/test_pixels.py"}
INLINE = [(path, line, command) for path in pages() for line, command in named(path)]


def ids(case):
    return f"{case[0].name}:{case[1]}"


def parse(arguments):
    """Let click parse a command line as it would when called, and call nothing."""
    command, context = cli, click.Context(cli, info_name="edgetune")
    while isinstance(command, click.Group):
        if not arguments or arguments[0].startswith("-"):
            return command.make_context("edgetune", list(arguments), resilient_parsing=not arguments)
        name, command, arguments = command.resolve_command(context, list(arguments))
        context = click.Context(command, parent=context, info_name=name)
    return command.make_context(context.info_name, list(arguments), parent=context.parent)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    monkeypatch.setenv("EDGETUNE_REMOTE", "")  # --cache-url sets it
    monkeypatch.delenv("EDGETUNE_REMOTE")


def test_there_are_commands_to_look_at():
    assert len(EVERY) > 60 and len(INLINE) > 30


@pytest.mark.parametrize("case", EVERY, ids=ids)
def test_a_command_that_is_shown_parses(case):
    program, *arguments = words(case[2])
    if program == "edgetune":
        parse(arguments)
    else:
        device_cli._parse(arguments)


def test_commands_in_running_text_name_what_there_is():
    for path, line, command in INLINE:
        program, *arguments = words(command)
        where = f"{path.name}:{line}: {command}"
        known, group = None, cli
        for word in arguments:
            if isinstance(group, click.Group) and word in group.commands:
                known = group = group.commands[word]
        assert program == "edgetune-run" or known is not None or arguments[0].startswith("-"), where
        flags = {flag for parameter in (known or cli).params for flag in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert program == "edgetune-run" or given <= flags | {"--help", "--version"}, where


def test_the_parser_of_the_docs_finds_what_is_wrong():
    with pytest.raises(click.UsageError):
        parse(["build", "--tarqet", "x86-cpu"])
    with pytest.raises(click.UsageError):
        parse(["biuld"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with what the docs' commands are about, and the outside world that some of them speak to."""
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch, serving(folder / "device") as board, s3_server("bucket") as settings:
        patch.setenv("EDGETUNE_CACHE", str(folder / "store"))
        for key, value in settings.items():
            patch.setenv(key, value)
        name_hosts(board, ("pi4", "pi5", "raspberrypi.local"))
        patch.setenv(CONFIG, str(board.config))
        fill(folder / "pictures", {stamp for _, _, command in EVERY for stamp in STAMP.findall(command)})
        fill_texts(folder / "texts")
        yield folder


def runnable():
    """Each once; files of one kind are one command."""
    kept = {}
    for path, line, command in EVERY:
        if not any(part in command for part in PARSED_ONLY):
            kept.setdefault(command.replace("model.onnx", "int8.onnx"), (path, line, command))
    return list(kept.values())


def by_beginning(table, arguments, default):
    """The entry whose key is the longest with which a command begins."""
    called = " ".join(arguments)
    found = [key for key in table if called.startswith(key)]
    return table[max(found, key=len)] if found else default


@pytest.mark.slow
@pytest.mark.parametrize("case", runnable(), ids=ids)
def test_a_command_that_is_shown_runs(case, shop, tmp_path, monkeypatch):
    path, _, command = case
    if "ssh://" in command and shutil.which("ssh") is None:
        pytest.skip("no OpenSSH client on this machine")
    stand_in(path, shop, tmp_path, monkeypatch)
    for real, ours in STANDS_FOR.items():
        command = command.replace(real, ours)
    program, *arguments = words(command)
    monkeypatch.setattr("sys.stdin", open_input(command))
    if program == "edgetune-run":
        with contextlib.redirect_stdout(io.StringIO()) as output:
            device_cli.main(arguments)
        assert output.getvalue().count("%") + output.getvalue().count("probability") >= 1
        return
    if arguments[0] == "init":
        Path("edgetune.toml").unlink()
    opened = []
    monkeypatch.setattr("click.launch", lambda page: opened.append(page) or 0)  # the desk's browser
    monkeypatch.setattr("sys.argv", ["edgetune", *arguments])  # which the launcher hands on
    more = [word for key, words_more in MORE.items() if " ".join(arguments).startswith(key) for word in words_more]
    result = CliRunner().invoke(cli, [*arguments, *more])
    assert result.exit_code in by_beginning(EXPECTED, arguments, (0,)), f"{result.output}\n{result.exception!r}"
    assert [page.endswith("report.html") for page in opened] == [True] * ("--open" in arguments)


def stand_in(path, shop, tmp_path, monkeypatch):
    """Work in a fresh copy of the folder that a page is about."""
    about_texts = "texts" in path.name or path.name == "text.md"
    shutil.copytree(shop / ("texts" if about_texts else "pictures"), tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in PYTHON if block[:2] not in PYTHON_NOT_RUN], ids=ids)
def test_python_that_is_shown_runs(block, shop, tmp_path, monkeypatch):
    path, line, code = block
    stand_in(path, shop, tmp_path, monkeypatch)
    exec(compile(code, f"{path.name}:{line}", "exec"), {})


def test_python_that_does_not_run_here_is_there_and_parses():
    for path, line, code in PYTHON:
        compile(code, f"{path.name}:{line}", "exec")
    assert len(PYTHON) >= 4 and {block[:2] for block in PYTHON} >= set(PYTHON_NOT_RUN)


def open_input(command):
    """The file that a shell would hand a command as its input."""
    name = command.partition(" < ")[2]
    return Path(name).open() if name else io.StringIO()


def test_reasons_not_to_run_a_command_are_of_commands_that_are_there():
    idle = [part for part in PARSED_ONLY if not any(part in command for _, _, command in EVERY)]
    assert not idle
