"""Networks that cannot be trained are found before they are."""

import pytest
import torch
from torch import nn

from edgetune.errors import ModelError, WeightsError
from edgetune.models.trial import check_finite, check_network

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


class Auxiliary(Answer):
    """More than logits in training alone, as GoogLeNet gives; what is random there is drawn from no one's generator."""

    def forward(self, images):
        logits = super().forward(images)
        return (torch.dropout(logits, 0.5, True), logits) if self.training else logits


def test_auxiliary_outputs_in_training_are_as_they_should_be():
    torch.manual_seed(0)
    network = Auxiliary(lambda logits: logits)
    before = torch.random.get_rng_state()
    check_network(network, EXAMPLE, 4, "it")
    assert torch.equal(torch.random.get_rng_state(), before)


class TrainsNot(Answer):
    def forward(self, images):
        if self.training:
            raise RuntimeError("only in training")
        return super().forward(images)


class Extra(Answer):
    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Answer(lambda logits: (logits, logits)), "gives a tuple of 2"),
        (Answer(lambda logits: logits.squeeze()), r"gives \[4\] for one input, not logits \[1, 4\]"),
        (Answer(lambda logits: logits.reshape(2, 4)), "1 at once"),
        (TrainsNot(lambda logits: logits), r"in training in the network itself \(TrainsNot, test_trial.py, line \d+\)"),
        (Answer(lambda logits: logits).double(), "weights in float64"),
        (Answer(lambda logits: logits).bfloat16(), "weights in bfloat16"),
        (Answer(lambda logits: logits).to(torch.complex64), "weights in complex64"),
        (Extra(lambda logits: logits), "no tensor: _extra_state"),
        (torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(192, 4))), "is TorchScript"),
    ],
)
def test_what_would_fail_after_hours_fails_at_once(network, says):
    with pytest.raises(ModelError, match=says) as caught:
        check_network(network, EXAMPLE, 4, "it")
    assert caught.value.hint


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


def test_weights_that_are_no_numbers_are_named():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4))
    check_finite(network, EXAMPLE, "it")
    with torch.no_grad():
        network[1].weight[0, :2] = torch.inf
        network[2].running_var[1] = torch.nan
    with pytest.raises(
        WeightsError, match=r"old\.pt has NaN or infinite weights: 1\.weight \(2 of 768 values\) and 1 more"
    ):
        check_finite(network, EXAMPLE, "old.pt")


def test_outputs_that_are_no_numbers_are_traced_to_their_module():
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), Root(), nn.Identity()).train()
    with pytest.raises(ModelError, match="first in 2, though its weights are finite") as caught:
        check_finite(network, EXAMPLE, "it")
    assert caught.value.hint and network.training and not network[1]._forward_hooks


class Root(nn.Module):
    def forward(self, x):
        return torch.log(-(x**2))


def test_a_mask_and_a_picture_of_one_colour_are_no_fault():
    network = Answer(lambda logits: logits / logits.norm())
    network.layer.bias.data.zero_()
    network.register_buffer("mask", torch.full((2,), -torch.inf))
    check_finite(network, EXAMPLE, "it")
