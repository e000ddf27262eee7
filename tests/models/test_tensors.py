"""Tensors from files load into networks that ask for version marks."""

import torch

from edgetune.models.tensors import load_tensors
from edgetune.models.zoo import make_network


def test_a_network_that_refuses_tensors_without_version_marks():
    network, other = (make_network("torchvision/mnasnet0_5", 3, {}) for _ in range(2))
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    load_tensors(other, tensors)
    assert all(torch.equal(tensors[key], value) for key, value in other.state_dict().items())
