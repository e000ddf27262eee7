"""Every command of README and docs is one that the program takes; and those that can run here do run."""

import contextlib
import io
import os
import re
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import RECIPE, write_images
from edgetune_runtime import cli as device_cli
from shown_commands import named, pages, shown, words
from small_text import write_texts

import edgetune
from edgetune.cli import cli

# Commands that are parsed and not run here, by a part of them, and why.
PARSED_ONLY = {
    "ssh://": "needs a device; tests/devices runs such commands against a real SSH server",
    "grpc://": "needs another machine; tests/test_tune_workers.py",
    " < ": "reads standard input; tests/runtime/test_cli.py",
    "--serve": "waits for workers; tests/test_tune_workers.py",
    "s3://": "needs a bucket; tests/test_remote.py",
    "/mnt/": "needs a shared disk; tests/test_remote.py",
    "/shared/": "needs a shared disk; tests/test_remote.py",
    "--launcher": "several processes; tests/test_scaling.py and tests/test_launching.py",
    "--open": "opens a browser",
    " tune": "many trainings; tests/test_tune.py",
    " search": "many builds; tests/test_search.py",
    "--self-check": "takes minutes; tests/measure/test_self_check.py",
    "diagnose": "takes long; tests/test_diagnose.py",
    "lr-find": "takes long; tests/test_lr_find.py",
    "--labels": "takes long; tests/steps/test_check_labels.py",
    "device-times": "needs what a Jetson wrote; tests/report/test_device_times.py",
    "validate": "needs files of other tools; tests/backends",
    "--emit": "tests/runtime/cpp",
    "mlflow:": "takes long; tests/report/sinks",
    "intel-cpu": "a build of its own; tests/test_openvino_build.py",
    "--backend": "tests/measure and tests/backends/test_openvino.py",
    "jetson": "a build of its own; tests/test_api.py",
    "bench": "takes long; tests/measure/test_bench.py",
    "witty": "needs an encoder; tests/test_text_build.py",
    "compare.html": "the same without files is run, and tests/compare writes them",
    "demo/": "make demo",
    "main/runs": "in a folder of a CI service",
    "float.onnx": "takes long; tests/measure/test_bench.py",
}
MORE = {"cache prune": ["--yes"]}
EXPECTED = {"check": (0, 3), "compare": (0, 3), "build": (0, 3)}  # 3: so small a network may miss its budget

STAMP = re.compile(r"runs/(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)")  # of the runs that pages show
EVERY = [(path, line, command) for path in pages() for line, command in shown(path)]
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
def workshop(tmp_path_factory):
    """A folder with what the docs' commands are about: photos, texts, a recipe, two runs, bundles."""
    folder = tmp_path_factory.mktemp("workshop")
    os.environ["EDGETUNE_CACHE"] = str(folder / "store")
    write_images(folder / "shapes", splits={"train": 24, "val": 8, "test": 12})
    shutil.copytree(folder / "shapes", folder / "photos")
    shutil.copyfile(Path(__file__).parents[1] / "tiny_network.py", folder / "tiny_network.py")
    (folder / "edgetune.toml").write_text(
        RECIPE.replace("ratio = [0.0, 0.5]", "ratio = []").replace("epochs = 6", "epochs = 2")
    )
    write_texts(folder / "texts", splits={"train": 60})
    shutil.copyfile(folder / "texts/train.csv", folder / "reviews.csv")
    (folder / "texts").rename(folder / "reviews")
    edgetune.build(folder / "edgetune.toml", run_dir=folder / "runs/main", cache_dir=folder / "store")
    for stamp in sorted({found for _, _, command in EVERY for found in STAMP.findall(command)}):
        shutil.copytree(folder / "runs/main", folder / "runs" / stamp)
    shutil.copytree(folder / "runs/main", folder / "runs/new")
    shutil.copytree(folder / "runs/main/bundles", folder / "bundles")
    picture = next((folder / "shapes/test").rglob("*.png"))
    for name in ("photo.jpg", "digits/test/3/0879.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, folder / name) if name.endswith("png") else jpeg(picture, folder / name)
    yield folder
    del os.environ["EDGETUNE_CACHE"]


def jpeg(source, destination):
    from PIL import Image

    Image.open(source).convert("RGB").save(destination)


def runnable():
    kept = {}
    for path, line, command in EVERY:
        if not any(part in command for part in PARSED_ONLY):
            kept.setdefault(command, (path, line, command))
    return list(kept.values())


@pytest.mark.slow
def test_commands_that_are_shown_run(workshop, tmp_path, monkeypatch):
    cases = runnable()
    assert len(cases) >= 15
    for number, (path, line, command) in enumerate(cases):
        place = tmp_path / str(number)
        shutil.copytree(workshop, place, ignore=shutil.ignore_patterns("store"))
        monkeypatch.chdir(place)
        program, *arguments = words(command)
        if arguments[:1] == ["init"]:
            (place / "edgetune.toml").unlink()
        where, outcome = f"{path.name}:{line}: {command}", ""
        if program == "edgetune-run":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                device_cli.main(arguments)
            assert "%" in output.getvalue(), where
            continue
        more = next((more for name, more in MORE.items() if " ".join(arguments).startswith(name)), [])
        result = CliRunner().invoke(cli, [*arguments, *more])
        outcome = f"{where}\n{result.output}"
        assert result.exit_code in EXPECTED.get(arguments[0], (0,)), outcome


def test_reasons_not_to_run_a_command_are_of_commands_that_are_there():
    idle = [part for part in PARSED_ONLY if not any(part in command for _, _, command in EVERY)]
    assert not idle
