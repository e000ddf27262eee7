"""Every shipped target reads, holds together, and is found by name or alias."""

import pytest

from edgetune.backends import BACKENDS
from edgetune.errors import TargetError
from edgetune.target import all_targets, load_target, read_target, same_arch, target_files

NAMES = sorted(target_files())


def test_the_nine_families_are_there():
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
