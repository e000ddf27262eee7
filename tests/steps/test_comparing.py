"""Of two networks the one that validation prefers."""

import pytest
from torch import nn

from edgetune.finetune.options import Trained
from edgetune.steps.comparing import Rival, better


def trained(strategy, *accuracies):
    history = [{"epoch": i, "val_accuracy": accuracy} for i, accuracy in enumerate(accuracies, 1)]
    return Trained(history=history, best_epoch=1, precision="fp32", device="cpu", retried=False, strategy=strategy)


@pytest.mark.parametrize(
    ("of_epochs", "of_strengths", "kept"),
    [
        ((0.5, 0.9, 0.8), (0.7, 0.85), "full"),
        ((0.5, 0.8), (0.7, 0.85, 0.6), "feature-extraction"),
        ((0.8,), (0.8,), "full"),  # validation cannot tell
    ],
)
def test_validation_decides(of_epochs, of_strengths, kept):
    mine, other = nn.Linear(1, 1), nn.Linear(1, 1)
    rival = Rival(network=other, trained=trained("feature-extraction", *of_strengths), seconds=1.0)
    network, chosen, told = better(mine, trained("full", *of_epochs), rival)
    assert chosen.strategy == kept and network is (mine if kept == "full" else other)
    assert f"{max(of_epochs):.1%}" in told and f"{max(of_strengths):.1%}" in told
