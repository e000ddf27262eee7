"""How layers of a group become one score and groups become alike; what criteria do not know is told."""

import importlib

import pytest
import torch
import torch_pruning as tp
from torch import nn

from edgetune import recipe
from edgetune.errors import RecipeError
from edgetune.pruning.criteria import CRITERIA
from edgetune.pruning.criteria.scores import NORMALIZATIONS, REDUCTIONS, make_scores

EXAMPLE = torch.zeros(1, 3, 8, 8)


def group_and_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    graph = tp.DependencyGraph().build_dependency(network.eval(), example_inputs=EXAMPLE)
    return graph.get_pruning_group(network[0], tp.prune_conv_out_channels, list(range(8))), network


def test_layers_of_a_group_become_one_score():
    group, network = group_and_network()
    made, read = network[0].weight.square().flatten(1).sum(1), network[4].weight.square().sum(0)
    both = torch.stack([made, read])
    expected = {"mean": both.mean(0), "sum": both.sum(0), "max": both.amax(0), "prod": both.prod(0), "first": made}
    assert set(expected) == set(REDUCTIONS)
    for name, wanted in expected.items():
        scores, _ = make_scores("magnitude", network, [], reduction=name, normalization="none")
        torch.testing.assert_close(scores(group), wanted.detach())


def test_groups_become_alike():
    group, network = group_and_network()
    plain = make_scores("magnitude", network, [], normalization="none")[0](group)
    by = {"none": plain, "mean": plain / plain.mean(), "sum": plain / plain.sum(), "max": plain / plain.max()}
    by["gaussian"] = (plain - plain.mean()) / plain.std(unbiased=False)
    assert set(by) == set(NORMALIZATIONS)
    for name, wanted in by.items():
        torch.testing.assert_close(make_scores("magnitude", network, [], normalization=name)[0](group), wanted)
    torch.testing.assert_close(make_scores("magnitude", network, [])[0](group), by["mean"])
    nn.init.zeros_(network[0].weight), nn.init.zeros_(network[4].weight)
    for name in NORMALIZATIONS:
        assert torch.isfinite(make_scores("magnitude", network, [], normalization=name)[0](group)).all()


def test_options_that_mean_nothing_are_told_and_the_recipe_knows_them_too():
    _, network = group_and_network()
    whole = {name for name, path in CRITERIA.items() if not importlib.import_module(path).REDUCES}
    assert whole == set(recipe.SCORED_WHOLE)
    for name in whole:
        with pytest.raises(RecipeError, match="group_reduction` means nothing to"):
            make_scores(name, network, [], reduction="max")
    with pytest.raises(RecipeError, match="normalization"):
        make_scores("lamp", network, [], normalization="mean")
    assert recipe.CHOICES["prune", "group_reduction"][1:] == REDUCTIONS
    assert set(recipe.CHOICES["prune", "normalization"][1:]) == set(NORMALIZATIONS)
