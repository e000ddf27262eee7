"""What ``auto`` finds out by trying: how far frozen features go, which one pass over the data tells.

Where they are better on validation than the network that was trained, the data is like what the network was
pretrained on and too little to improve on that; then they are kept. The pass also tells what an epoch will take, so
that a training for which ``[budget] max_hours`` has no room is not begun.
"""

import copy
import json
import time
from dataclasses import asdict, dataclass, replace

from torch import nn

from edgetune.finetune.options import Trained, TrainOptions
from edgetune.finetune.strategies import auto, feature_extraction
from edgetune.finetune.team import current
from edgetune.finetune.update import Loss
from edgetune.steps.context import StepContext
from edgetune.steps.dataset import load_index
from edgetune.steps.examples import Examples

FILE = "auto.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The network with a head fitted to frozen features, how that came about, and what it took."""

    network: nn.Module
    trained: Trained
    seconds: float

    @property
    def accuracy(self) -> float:
        """On validation."""
        return best_accuracy(self.trained)


def best_accuracy(trained: Trained) -> float:
    """On validation, of the weights that were kept."""
    return max(row["val_accuracy"] for row in trained.history)


def frozen_features(
    network: nn.Module,
    head: frozenset[str],
    options: TrainOptions,
    examples: Examples,
    loss: Loss,
    context: StepContext,
) -> Rival | None:
    """Fit a head to a copy of ``network``; None where its head is not one linear layer at the end."""
    started, frozen = time.perf_counter(), copy.deepcopy(network).eval()
    if feature_extraction.last_layer(frozen, head, next(iter(examples.validation()))[0]) is None:
        return None
    trained = feature_extraction.learn(
        frozen, replace(options, strategy="feature-extraction"), examples, loss, context.scratch, context.tick, head
    )
    return Rival(network=frozen.cpu(), trained=trained, seconds=time.perf_counter() - started)


def affordable(
    choice: auto.Choice, rival: Rival, stages: int, options: TrainOptions, context: StepContext
) -> auto.Choice:
    """``choice``, or the nearest to it that there is time for; the same again where training goes on, in every process.

    Args:
        stages: how many the backbone has.
    """
    hours, path = context.params.get("max_hours"), context.scratch / FILE
    if hours is None:
        return choice
    if not path.exists():
        index = load_index(context)
        samples = len(index.split("train")), len(index.split("val"))
        measured = current().sum(rival.seconds if current().leads else 0.0)[0]  # the first process's clock counts
        found = auto.within(choice, stages, options.epochs, samples, measured / sum(samples), hours)
        path.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return auto.Choice(**json.loads(path.read_text(encoding="utf-8")))


def better(network: nn.Module, trained: Trained, rival: Rival) -> tuple[nn.Module, Trained, str]:
    """Whichever validation prefers, the trained network where it cannot tell; and what to say of it."""
    accuracy = best_accuracy(trained)
    told = f"on validation it got {accuracy:.1%}, a head on frozen features {rival.accuracy:.1%}"
    if rival.accuracy > accuracy:
        return rival.network, rival.trained, f"{trained.strategy} was tried, and {told}: frozen features are kept"
    return network, trained, told
