"""Networks that cannot be trained are found before they are."""

import pytest
import torch
from torch import nn

from edgetune.errors import ModelError
from edgetune.models.trial import check_network

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Answer(nn.Module):
    """Gives whatever ``make`` makes of logits [N, 4]."""

    def __init__(self, make):
        super().__init__()
        self.layer, self.make = nn.Linear(3 * 64, 4), make

    def forward(self, images):
        return self.make(self.layer(images.flatten(1)))


def test_a_good_one_stays_as_it_is():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4))
    network[2].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    check_network(network, EXAMPLE, 4, "it")
    assert network.training and not network[2].training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    check_network(Answer(lambda logits: (logits, logits)), EXAMPLE, 4, "it")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda logits: {"logits": logits}, "returned dict"),
        (lambda logits: [logits], "returned list"),
        (lambda logits: logits[:, :3], r"gives \[2, 3\] for two inputs, not logits \[2, 4\]"),
        (lambda logits: logits.mean(0), r"gives \[4\]"),
        (lambda logits: logits @ logits, "RuntimeError"),
        (lambda logits: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_gives_no_logits(make, says):
    with pytest.raises(ModelError, match=says) as caught:
        check_network(Answer(make), EXAMPLE, 4, "mine:net")
    assert caught.value.message.startswith("mine:net") and "num_classes" in caught.value.hint


def test_nothing_to_train():
    with pytest.raises(ModelError, match="no weights"):
        check_network(nn.Flatten(), EXAMPLE, 4, "it")
    with pytest.raises(ModelError, match="only frozen weights"):
        check_network(Answer(lambda logits: logits).requires_grad_(False), EXAMPLE, 4, "it")
    with pytest.raises(ModelError, match="lazy layers"):
        check_network(nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), EXAMPLE, 4, "it")
