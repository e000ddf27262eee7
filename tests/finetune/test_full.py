"""Norms and biases are not decayed, and every weight is in exactly one group."""

from torch import nn

from edgetune.finetune.strategies.full import parameter_groups


def test_groups():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decayed, plain = parameter_groups(network, 0.1)
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0.0
    assert {p.ndim for p in decayed["params"]} == {4, 2} and {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))
