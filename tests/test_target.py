"""Every shipped target reads, holds together, and is found by name or alias."""

import pytest

from edgetune.backends import BACKENDS
from edgetune.errors import RecipeError, TargetError
from edgetune.recipe import load_recipe
from edgetune.target import CHOICES, all_targets, load_target, read_target, recipe_target, same_arch, target_files

NAMES = sorted(target_files())


def test_the_ten_families_are_there():
    assert {
        "x86-cpu",
        "x86-cpu-novnni",
        "arm-cpu",
        "arm-cpu-nodot",
        "jetson-orin-nano",
        "jetson-orin-nx",
        "jetson-agx-orin",
        "jetson-thor",
        "nvidia-gpu",
        "intel-cpu",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_together(name):
    target = load_target(name)
    assert target.backend in BACKENDS
    assert target.scheme.activation in ("uint8", "int8")
    assert target.channel_multiple in (1, 4, 8, 16, 32)
    assert target.precisions and target.sources
    if target.backend == "tensorrt":
        assert target.scheme.activation == "int8"


def test_aliases_are_unique_and_found():
    aliases = [alias for target in all_targets() for alias in target.aliases]
    assert len(aliases) == len(set(aliases)) and not set(aliases) & set(NAMES)
    assert load_target("jetson").name == "jetson-orin-nano"


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(TargetError, match='unknown target "x86-cpuu"') as caught:
        load_target("x86-cpuu")
    assert "did you mean `x86-cpu`?" in caught.value.hint


def test_a_wrong_key_in_a_target_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('summary = "x"\nbackend = "onnxruntime"\narhc = "any"\n[scheme]\n')
    with pytest.raises(TargetError, match=r"mine\.toml:3: unknown key `arhc`") as caught:
        read_target(path)
    assert "`arch`" in caught.value.hint


def test_arch_names_of_other_systems():
    assert same_arch(load_target("x86-cpu"), "AMD64")
    assert same_arch(load_target("arm-cpu"), "arm64")
    assert not same_arch(load_target("arm-cpu"), "x86_64")


OWN = """
summary = "our camera"
extends = "arm-cpu"
channel_multiple = 16
[scheme]
per_channel = false
"""


def own(folder, text=OWN, name="camera"):
    (folder / "targets").mkdir(exist_ok=True)
    path = folder / "targets" / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_users_target_says_only_what_differs(tmp_path):
    own(tmp_path)
    camera, parent = load_target("camera", tmp_path), load_target("arm-cpu")
    assert (camera.summary, camera.channel_multiple, camera.scheme.per_channel) == ("our camera", 16, False)
    assert (camera.arch, camera.backend, camera.sources) == (parent.arch, parent.backend, parent.sources)
    assert camera.scheme.operators == parent.scheme.operators and camera.aliases == ()
    assert "camera" in {target.name for target in all_targets(tmp_path)}
    assert "camera" not in {target.name for target in all_targets()}


def test_a_target_by_its_path(tmp_path):
    path = own(tmp_path)
    assert load_target(str(path)) == load_target("targets/camera.toml", tmp_path) == load_target("camera", tmp_path)


def test_a_users_target_may_take_a_shipped_name_and_extend_it(tmp_path):
    own(tmp_path, 'extends = "x86-cpu.toml"\nsummary = "x"\n', "mine")
    own(tmp_path, 'extends = "arm-cpu"\nsummary = "ours"\n', "x86-cpu")
    assert load_target("x86-cpu", tmp_path).summary == "ours"
    assert load_target("mine", tmp_path).arch == "aarch64"


def test_a_wrong_file_of_the_users_own_is_no_matter_to_other_targets(tmp_path):
    own(tmp_path, "nonsense\n", "broken")
    assert load_target("jetson", tmp_path).name == "jetson-orin-nano"
    own(tmp_path, 'extends = "jetson-orin-nano.toml"\nsummary = "x"\n', "other")
    own(tmp_path, 'extends = "arm-cpu"\nsummary = "ours"\n', "jetson-orin-nano")
    assert load_target("jetson", tmp_path).summary == "ours"


def test_a_target_is_extended_by_its_alias_too(tmp_path):
    own(tmp_path, 'extends = "jetson"\nsummary = "ours"\n', "mine")
    assert load_target("mine", tmp_path).channel_multiple == load_target("jetson-orin-nano").channel_multiple
    assert load_target("mine", tmp_path).backend == "tensorrt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "arm-cpuu"\n', '`extends` names "arm-cpuu"'),
        ('extends = "camera"\n', '`extends` names "camera", which is no other target'),
        ("extends = 3\n", "`extends` must be the name"),
        ('extends = "arm-cpu"\nbackend = "tflite"\n', 'camera.toml:2: `backend` cannot be "tflite"'),
        ('extends = "arm-cpu"\n[scheme]\nactivation = "int4"\n', '`scheme.activation` cannot be "int4"'),
        ('extends = "arm-cpu"\n[scheme]\noperators = ["conv", "softmax"]\n', 'cannot be "softmax"'),
        ('extends = "arm-cpu"\nchannel_multiple = 0\n', "`channel_multiple` must be 1 or more"),
    ],
)
def test_what_a_users_target_may_not_say(tmp_path, text, message):
    own(tmp_path, text)
    with pytest.raises(TargetError) as caught:
        load_target("camera", tmp_path)
    assert message in str(caught.value)


def test_targets_that_extend_each_other(tmp_path):
    own(tmp_path, 'extends = "b"\n', "a")
    own(tmp_path, 'extends = "a"\n', "b")
    with pytest.raises(TargetError, match="no other target"):
        load_target("a", tmp_path)


def test_a_target_file_that_is_not_there():
    with pytest.raises(TargetError, match="cannot read"):
        load_target("nowhere/board.toml")


def test_the_choices_are_those_the_rooms_know():
    from edgetune.quantization.insert import OPERATORS

    assert set(CHOICES["scheme", "operators"]) == set(OPERATORS)
    assert set(CHOICES["backend",]) == set(BACKENDS)


def test_a_recipe_sets_options_of_a_targets_backend(tmp_path):
    path = tmp_path / "edgetune.toml"
    text = '[model]\nname = "m:f"\n[data]\npath = "d"\n[targets]\nnames = ["x86-cpu"]\n'
    path.write_text(text + "[targets.jetson]\nmax_batch = 4\n")
    recipe = load_recipe(path)
    assert recipe.targets.names == ("x86-cpu",)
    assert recipe_target(recipe, "jetson-orin-nano").backend_options == {
        **load_target("jetson").backend_options,
        "max_batch": 4,
    }
    assert recipe_target(recipe, "x86-cpu") == load_target("x86-cpu")
    path.write_text(text + "[targets.jetsn]\ndla = true\n")
    with pytest.raises(TargetError, match="jetsn") as caught:
        recipe_target(load_recipe(path), "x86-cpu")
    assert "jetson" in caught.value.hint
    path.write_text(text + "[targets.jetson]\nsince = 1979-05-27\n")
    with pytest.raises(RecipeError, match=r"targets\.options\.jetson\.since"):
        load_recipe(path)
