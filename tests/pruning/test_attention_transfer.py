"""Maps of stages: networks of other widths compare, those of other sizes are told."""

import copy

import pytest
import torch
from torch import nn

from edgetune.errors import PruningError
from edgetune.finetune.stages import stage_ends
from edgetune.models.zoo import make_network
from edgetune.pruning.attention_transfer import attention_transfer, recorded
from edgetune.pruning.surgery import PruneOptions, prune_by_ratio


@pytest.mark.parametrize(("name", "size", "ends"), [("resnet18", 32, 5), ("vit_b_32", 32, 12)])
def test_a_pruned_network_is_compared_stage_by_stage(name, size, ends):
    torch.manual_seed(0)
    args = {"image_size": size} if name == "vit_b_32" else {}
    teacher = make_network(f"torchvision/{name}", 5, args).eval()
    student, images = copy.deepcopy(teacher), torch.randn(2, 3, size, size)
    names = stage_ends(teacher)
    with recorded(teacher, names) as theirs, recorded(student, names) as ours:
        teacher(images), student(images)
        assert len(theirs) >= ends and float(attention_transfer(ours, theirs).detach()) == 0
    if name == "resnet18":
        options = PruneOptions(criterion="random", scope="global", channel_multiple=8, protected=("fc",))
        assert prune_by_ratio(student, torch.zeros(1, 3, size, size), 0.5, options, [])
        with recorded(teacher, names) as theirs, recorded(student, names) as ours:
            teacher(images), student(images)
            loss = attention_transfer(ours, theirs)
        assert 0 < float(loss.detach()) < 4
        loss.backward()
        assert float(student.conv1.weight.grad.abs().sum()) > 0
    assert not any(module._forward_hooks for network in (teacher, student) for module in network.modules())


def test_maps_of_another_size_or_none_at_all():
    ours, theirs = {"stage": torch.rand(2, 8, 4, 4)}, {"stage": torch.rand(2, 16, 8, 8)}
    with pytest.raises(PruningError, match="stage gives maps of 16 pixels, in the network to imitate of 64") as caught:
        attention_transfer(ours, theirs)
    assert "feature_distillation" in caught.value.hint
    with pytest.raises(PruningError, match="no stage"):
        attention_transfer({}, theirs)
    with recorded(nn.Linear(3, 3), ("",)) as maps:
        assert maps == {}
