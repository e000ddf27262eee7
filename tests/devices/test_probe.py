"""What a look at a machine becomes: a target file that reads back."""

import pytest
from edgetune_runtime.agent import look
from hypothesis import given
from hypothesis import strategies as st

from edgetune import api
from edgetune.devices.probe import nearest_target, target_file
from edgetune.errors import InputError
from edgetune.target import all_targets, read_target


def about(**device):
    here = look({})
    return {**here, "device": {**here["device"], **device}}


@pytest.mark.parametrize(
    ("arch", "features", "name"),
    [
        ("aarch64", ["asimd", "asimdhp", "asimddp"], "arm-cpu"),
        ("aarch64", ["asimd"], "arm-cpu-nodot"),
        ("x86_64", ["avx2", "avx512_vnni"], "x86-cpu"),
        ("x86_64", ["avx2"], "x86-cpu-novnni"),
    ],
)
def test_the_nearest_target_is_told_by_features(arch, features, name):
    assert nearest_target(about(arch=arch, cpu_features=features), all_targets()).name == name


def test_there_may_be_none():
    assert nearest_target(about(arch="riscv64", cpu_features=[]), all_targets()) is None


def test_this_machine_becomes_a_target_that_is_not_overwritten(tmp_path):
    path = tmp_path / "targets" / "mine.toml"
    found = api.probe(output=path)
    target = read_target(path)
    assert target.name == "mine" and target.backend == "onnxruntime"
    assert target.memory_mb == found["device"]["memory_bytes"] >> 20
    with pytest.raises(InputError, match="not overwritten"):
        api.probe(output=path)


@given(model=st.text(min_size=1, max_size=40))
def test_whatever_a_device_calls_itself_the_file_reads_back(model, tmp_path_factory):
    parent = next(target for target in all_targets() if target.name == "arm-cpu")
    path = tmp_path_factory.mktemp("probe") / "t.toml"
    path.write_text(target_file(about(model=model), parent), encoding="utf-8")
    assert read_target(path).channel_multiple == parent.channel_multiple
