"""``python -m edgetune.demo FOLDER`` writes all that a build needs."""

import subprocess
import sys

import pytest

from edgetune.demo.recipe import WEIGHTS, write_demo
from edgetune.plan import make_plan
from edgetune.recipe import load_recipe
from edgetune.surroundings import look_around
from edgetune.target import load_target

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo"))


def test_the_recipe_is_valid_and_its_sources_are_there(demo):
    recipe = load_recipe(demo)
    assert recipe.model.name == "edgetune.demo.network:demo_net"
    target = load_target(recipe.targets.names[0])
    surroundings = look_around(recipe, (target,))
    assert surroundings.weights is not None and surroundings.weights.read_bytes() == WEIGHTS.read_bytes()
    names = {candidate.name for candidate in make_plan(recipe, (target,), surroundings.facts).candidates}
    assert names == {"float", "int8", "pruned-1.6x", "pruned-1.6x-int8"}


def test_writing_again_keeps_an_edited_recipe_and_the_cache_keys(demo):
    recipe = load_recipe(demo)
    targets = (load_target(recipe.targets.names[0]),)
    before = look_around(recipe, targets).facts.sources
    text = demo.read_text(encoding="utf-8").replace("epochs = ", "epochs = 1", 1)
    demo.write_text(text, encoding="utf-8")
    write_demo(demo.parent)
    assert demo.read_text(encoding="utf-8") == text
    assert look_around(recipe, targets).facts.sources == before


def test_the_command_says_where_the_recipe_is_and_fails_kindly(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgetune.demo", str(tmp_path / "new")], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.strip() == str(tmp_path / "new" / "edgetune.toml")
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "edgetune.demo", str(tmp_path / "file")], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: cannot write") and "Traceback" not in done.stderr
