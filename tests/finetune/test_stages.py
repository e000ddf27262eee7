"""Stages are what a practitioner would call so, in every family, and they cover each weight once."""

import pytest
import torch
import torchvision
from torch import nn

from edgetune.finetune.stages import split_stages
from edgetune.models.head import head_keys


def stages_of(name):
    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}

    def factory(classes):
        return torchvision.models.get_model(name, weights=None, num_classes=classes, **more)

    with torch.device("meta"):  # the tree alone
        network, head = factory(10), head_keys(factory, 10)
    return network, head, split_stages(network, head)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 6), ("resnet152", 6), ("mobilenet_v2", 20), ("mobilenet_v3_small", 15), ("efficientnet_b0", 10),
        ("vgg16_bn", 15), ("densenet121", 9), ("convnext_tiny", 9), ("swin_t", 9), ("vit_b_16", 14),
        ("shufflenet_v2_x1_0", 6), ("squeezenet1_1", 10), ("mnasnet1_0", 11), ("googlenet", 13), ("maxvit_t", 7),
    ],
)  # fmt: skip
def test_torchvision_families(name, count):
    network, head, stages = stages_of(name)
    assert len(stages) == count
    order = [stages.of(key) for key, _ in network.named_parameters()]
    assert set(order) == set(range(count)), "a stage without weights"
    assert {stages.of(key) for key in head} == {stages.head}
    if name not in ("vit_b_16", "googlenet"):  # a lone class token, auxiliary heads in the middle
        assert order == sorted(order)


def test_what_has_no_matrix_joins_the_stage_before():
    _, _, stages = stages_of("resnet18")
    assert [stages.of(name) for name in ("conv1", "bn1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias")] == [
        0, 0, 1, 4,
    ]  # fmt: skip
    _, _, vit = stages_of("vit_b_16")
    assert vit.of("class_token") == vit.of("encoder.pos_embedding") == vit.of("conv_proj.weight") == 0
    assert vit.of("encoder.ln.weight") == vit.head - 1


def test_auxiliary_branches_belong_to_the_head():
    _, _, stages = stages_of("inception_v3")
    assert stages.of("AuxLogits.conv0.conv.weight") == stages.head
    assert stages.of("Mixed_7c.branch1x1.conv.weight") == stages.head - 1


def test_a_small_network_of_the_users_own_and_one_of_text():
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    assert split_stages(small, frozenset({"4.weight", "4.bias"})).parts == (("0", "1", "2", "3"), ("4",))
    assert split_stages(small).parts == (("0", "1", "2", "3"), ("4",))
    text = nn.Module()
    text.embeddings, text.encoder = (
        nn.Embedding(9, 4),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 1, 8, batch_first=True), 3),
    )
    text.classifier = nn.Linear(4, 2)
    stages = split_stages(text, frozenset({"classifier.weight", "classifier.bias"}))
    assert stages.parts[1] == ("encoder.layers.0",) and len(stages) == 5
    lone = nn.Linear(3, 2)
    assert len(split_stages(lone)) == 1 and split_stages(lone).of("weight") == 0


class Bare(nn.Module):
    """Its head is a weight of its own, in no module."""

    def __init__(self, classes: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.w = nn.Parameter(torch.zeros(4, classes))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.body(inputs) @ self.w


def test_a_head_that_is_a_weight_of_the_network_itself():
    stages = split_stages(Bare(3), head_keys(Bare, 3))
    assert stages.of("w") == stages.head and stages.of("body.1.weight") < stages.head
