"""When weights are shared out; that training then ends alike is in test_team.py."""

import pytest
import torch
from torch import nn

from edgetune.errors import TrainingError
from edgetune.finetune import sharding
from edgetune.finetune.precision import Compute
from edgetune.finetune.team import ALONE

CPU = Compute(device=torch.device("cpu"), dtype=None, reason="")


def network(frozen: bool = False):
    made = nn.Sequential(nn.Linear(100, 100, bias=False), nn.Linear(100, 10, bias=False))
    made[0].requires_grad_(not frozen)
    return made


def test_weights_that_learn_take_four_times_those_that_do_not():
    assert sharding.state_bytes(network()) == 11_000 * 16
    assert sharding.state_bytes(network(frozen=True)) == 10_000 * 4 + 1_000 * 16


def test_auto_shares_out_what_would_fill_half_of_the_memory(monkeypatch):
    monkeypatch.setattr(sharding, "memory_bytes", lambda device: 300_000)
    assert sharding.is_wanted("auto", network(), ALONE, CPU)
    assert not sharding.is_wanted("auto", network(frozen=True), ALONE, CPU)


def test_memory_of_a_machine_is_that_of_all_its_processes(monkeypatch):
    alone = sharding.memory_bytes(CPU.device)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 2**28 < sharding.memory_bytes(CPU.device) == alone // 4
    assert not sharding.is_wanted("auto", network(), ALONE, CPU) and sharding.is_wanted("always", network(), ALONE, CPU)


def test_fp16_is_refused_or_left_alone():
    half = Compute(device=torch.device("cpu"), dtype=torch.float16, reason="")
    assert not sharding.is_wanted("auto", network(), ALONE, half)
    with pytest.raises(TrainingError, match="fp16"):
        sharding.is_wanted("always", network(), ALONE, half)
