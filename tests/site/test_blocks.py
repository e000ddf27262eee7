"""What else pages show in blocks: recipes are read by the program; scripts and make's targets are there."""

import configparser
import dataclasses
import re
import tomllib

import pytest
from shown_commands import ROOT, pages

from edgetune.errors import RecipeError
from edgetune.recipe import parse_recipe
from edgetune.records import Recipe
from edgetune.toml import TomlFile

SECTIONS = {item.name for item in dataclasses.fields(Recipe)} - {"base"}
ABOUT = {"model": {"name": "torchvision/resnet18"}, "data": {"path": "photos"}}
SCRIPT = re.compile(r"python (?:-m (benchmarks[\w.]+)|(benchmarks/[\w/]+\.py))(.*)")
EXTRA = re.compile(r"(?<=[\s'\"])(?:\./)?(edgetune|\.|runtime/python)\[([a-z][\w,-]*)\]")


def blocks(path):
    """(line, text) of the code blocks of a page, fenced and indented."""
    found, fence, block, first = [], None, [], 0
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], start=1):
        if line.strip().startswith("```"):
            fence = None if fence is not None else line
        elif fence is not None or line.startswith("    "):
            first = first or number
            block.append(line.removeprefix("    ") if fence is None else line)
            continue
        if block and (fence is None or line.strip()):
            found.append((first, "\n".join(block)))
            block, first = [], 0
    return found


def recipes():
    """Blocks of TOML that are nothing but sections and keys of recipes."""
    for path in pages():
        for line, text in blocks(path):
            try:
                content = tomllib.loads(text)
            except tomllib.TOMLDecodeError:
                continue
            if content and content.keys() <= SECTIONS:
                yield pytest.param(content, id=f"{path.name}:{line}")


RECIPES = list(recipes())


def read(content, folder):
    return parse_recipe(TomlFile(path=folder / "edgetune.toml", text="", error=RecipeError, data=content))


def test_there_are_recipes_to_look_at():
    assert len(RECIPES) >= 12


@pytest.mark.parametrize("content", RECIPES)
def test_a_recipe_that_is_shown_is_one(content, tmp_path):
    whole = {**ABOUT, **content}
    whole["model"], whole["data"] = ({**ABOUT[name], **whole[name]} for name in ("model", "data"))
    assert read(whole, tmp_path).model.name


def test_a_wrong_one_is_noticed(tmp_path):
    with pytest.raises(RecipeError):
        parse_recipe(
            TomlFile(path=tmp_path / "edgetune.toml", text="", error=RecipeError, data={**ABOUT, "prune": {"cut": 1}})
        )


def lines():
    """(page, line) of all blocks, with lines that go on joined."""
    for path in pages():
        for _, text in blocks(path):
            for line in text.replace("\\\n", " ").splitlines():
                yield path, line.strip()


def test_scripts_that_are_shown_are_there_and_know_their_options():
    seen = 0
    for path, line in lines():
        if not (match := SCRIPT.search(line)):
            continue
        seen += 1
        script = ROOT / (f"{match[1].replace('.', '/')}.py" if match[1] else match[2])
        assert script.is_file(), f"{path.name}: {line}"
        told = script.read_text(encoding="utf-8") + (ROOT / "benchmarks/common.py").read_text(encoding="utf-8")
        told += "".join(near.read_text(encoding="utf-8") for near in script.parent.glob("*.py"))
        unknown = [flag for flag in re.findall(r"(?<= )--[\w-]+", match[3]) if f'"{flag}"' not in told]
        assert not unknown, f"{path.name}: {line}: {unknown}"
    assert seen >= 5


def test_makes_targets_and_extras_that_are_named_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.sub(r"^([\w ]+):", lambda match: "".join(f"{one}:\n" for one in match[1].split()), makefile, flags=re.M)
    desk = configparser.ConfigParser()
    desk.read(ROOT / "setup.cfg")
    board = tomllib.loads((ROOT / "runtime/python/pyproject.toml").read_text(encoding="utf-8"))
    known = {"runtime/python": set(board["project"]["optional-dependencies"])}
    known["edgetune"] = known["."] = set(desk["options.extras_require"])
    made = [line.partition("#")[0].split()[1:] for _, line in lines() if line.startswith("make ")]
    targets = {word for words in made for word in words}
    assert targets and all(re.search(rf"^{target}:", rules, re.MULTILINE) for target in targets), targets
    for path in pages():
        for package, extras in EXTRA.findall(path.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= known[package], f"{path.name}: {package}[{extras}]"
