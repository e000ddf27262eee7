"""Norms and biases are not decayed, every weight is in exactly one group, and lower stages learn more slowly."""

import pytest
import torch
from torch import nn

from edgetune.finetune.groups import parameter_groups, toward_start
from edgetune.finetune.stages import split_stages


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    )  # fmt: skip


HEAD = frozenset({"5.weight", "5.bias"})


def test_groups():
    model = network()
    decayed, plain = parameter_groups(model, split_stages(model, HEAD), weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0.0
    assert {p.ndim for p in decayed["params"]} == {4, 2} and {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))


def test_layer_decay_makes_each_stage_slower_than_the_one_above():
    model = network()
    groups = parameter_groups(model, split_stages(model, HEAD), weight_decay=0.1, layer_decay=0.5)
    scale = {id(weight): group["scale"] for group in groups for weight in group["params"]}
    assert [scale[id(w)] for w in model.parameters()] == [0.25] * 4 + [0.5] * 2 + [1.0] * 2


def test_l2_sp_pulls_the_backbone_to_its_start_and_the_head_to_zero():
    model = network()
    stages = split_stages(model, HEAD)
    groups = parameter_groups(model, stages, weight_decay=0.1, l2_sp=0.5)
    decayed = {id(weight) for group in groups for weight in group["params"] if group["weight_decay"]}
    assert decayed == {id(model[5].weight)}
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    model[0].weight.requires_grad_(False)
    toward_start(model, stages, start, 0.5)(0.2)
    moved = {name: float((weight.detach() - start[name]).mean()) for name, weight in model.named_parameters()}
    assert moved["2.weight"] == pytest.approx(0.9) and moved["0.weight"] == pytest.approx(1.0)
    assert moved["5.weight"] == pytest.approx(1.0) and moved["1.bias"] == pytest.approx(1.0)
