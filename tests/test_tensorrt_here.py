"""TensorRT on this machine itself, as far as its plan: a stand-in for trtexec on PATH (see ``trtexec_contract``)."""

import os

import pytest
import trtexec_contract
from edgetune_runtime import tensorrt_here

from edgetune.devices.here import ThisMachine
from edgetune.errors import TargetError
from edgetune.plan import make_plan
from edgetune.recipe import load_recipe
from edgetune.surroundings import look_around
from edgetune.target import recipe_target

OWN = """extends = "nvidia-gpu"
summary = "a workstation of the tests"
arch = "any"
"""


@pytest.fixture
def installed(project, tmp_path, monkeypatch):
    (project / "targets").mkdir()
    (project / "targets" / "own.toml").write_text(OWN)
    monkeypatch.setattr(tensorrt_here.trtexec, "JETPACK", str(tmp_path / "none"))

    def install(banner, family):
        trtexec_contract.install(tmp_path / "bin", banner, family)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return install


def plan_for(project, name):
    recipe = load_recipe(project / "edgetune.toml")
    around = look_around(recipe, (recipe_target(recipe, name),))
    return make_plan(recipe, around.targets, around.facts), around


def test_this_machine_builds_for_itself_and_never_for_a_jetson(project, installed):
    made, around = plan_for(project, "own")
    assert around.facts.unavailable["own"] and not around.devices and not made.candidates[0].compile_step
    installed("v101302", 10)
    made, around = plan_for(project, "own")
    assert around.facts.unavailable["own"] is None and isinstance(around.devices["source:device:own"], ThisMachine)
    assert made.targets[0].backend_options["version"] == "10.13"
    names = [step.name for step in made.steps]
    assert {"half", "compile", "measure", "bundle", "validate"} <= set(names) and "time_layers" not in names
    made, around = plan_for(project, "jetson")
    assert "does not run aarch64 engines" in around.facts.unavailable["jetson-orin-nano"]
    assert all(candidate.compile_step is None for candidate in made.candidates)


def test_a_device_with_an_older_tensorrt_gets_the_older_file(project, installed):
    installed("v8502", 8)
    made, _ = plan_for(project, "own")
    assert (made.targets[0].backend_options["version"], made.targets[0].opset) == ("8.5", 17)
    assert {step.params["opset"] for step in made.steps if step.name in ("export", "quantize")} == {17}
    assert not [step for step in made.steps if step.name == "half"]  # float32, with --fp16 and --int8


def test_dla_is_asked_for_in_the_recipe(project):
    path = project / "edgetune.toml"
    path.write_text(path.read_text() + "\n[targets.jetson-orin-nx]\ndla = true\n[targets.jetson]\ndla = true\n")
    made, _ = plan_for(project, "jetson-orin-nx")
    assert next(step.params["version"] for step in made.steps if step.name == "validate") == "10.3-dla"
    with pytest.raises(TargetError, match="jetson-orin-nano: `dla = true`, and this module has no deep-learning"):
        plan_for(project, "jetson")
