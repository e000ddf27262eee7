"""Deterministic mode reaches the steps, refuses what has no such form, and leaves torch as it was."""

import pytest
import torch

from edgetune.errors import TrainingError
from edgetune.finetune.deterministic import deterministic_algorithms
from edgetune.finetune.trainer import train
from edgetune.progress import silent
from tests.finetune.test_trainer import OPTIONS, Colours, loss, network


def test_two_runs_give_the_same_bits(tmp_path):
    states = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        torch.manual_seed(len(states))  # other random state than the first run's
        model = network()
        with deterministic_algorithms():
            train(model, OPTIONS, Colours(), loss, tmp_path / name, silent)
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_an_operation_without_a_deterministic_form_is_a_clear_failure():
    with pytest.raises(TrainingError, match="cannot be computed deterministically"), deterministic_algorithms():
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), deterministic_algorithms():
        raise RuntimeError("another problem")
