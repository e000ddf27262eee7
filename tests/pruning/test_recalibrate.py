"""Batch norms get the statistics of the data they now see."""

import torch
from torch import nn

from edgetune.pruning.recalibrate import recalibrate_batch_norms


def test_statistics_are_those_of_the_batches():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    batches = [(torch.randn(16, 3, 5, 5) + 3, torch.zeros(16)) for _ in range(4)]
    network[1].running_mean.fill_(77)
    recalibrate_batch_norms(network, batches)
    seen = torch.cat([network[0](images) for images, _ in batches])
    torch.testing.assert_close(network[1].running_mean, seen.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert network[1].momentum == 0.1 and not any(module.training for module in network.modules())


def test_networks_without_batch_norms_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    before = {key: value.clone() for key, value in network.state_dict().items()}

    def unread():
        raise AssertionError("data was read for nothing")
        yield

    recalibrate_batch_norms(network, unread())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
