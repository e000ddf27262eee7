"""The running average follows the weights and the statistics of batch norms, and warms up."""

import torch
from torch import nn

from edgetune.finetune.average import averaged


def test_it_follows_slowly():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = averaged(network, 0.9)
    average.update_parameters(network)  # the first is a copy
    start = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight.add_(1.0)
        network[1].running_mean.add_(2.0)
        network[1].num_batches_tracked.add_(5)
    average.update_parameters(network)
    share = 1 - 2 / 11  # warm-up: the second update
    torch.testing.assert_close(average.module[0].weight, start + share)
    torch.testing.assert_close(average.module[1].running_mean, torch.full((2,), 2 * share))
    assert int(average.module[1].num_batches_tracked) == 5
    for _ in range(200):
        average.update_parameters(network)
    torch.testing.assert_close(average.module[0].weight, network[0].weight)
