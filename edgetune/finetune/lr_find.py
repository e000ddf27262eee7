"""Learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3).

The rate grows exponentially from batch to batch while the loss is watched: below some rate nothing is
learned, above another the loss explodes.
"""

import importlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from edgetune.errors import TrainingError
from edgetune.finetune.freezing import freeze_below, set_modes
from edgetune.finetune.groups import parameter_groups
from edgetune.finetune.options import Examples, TrainOptions
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.stages import split_stages
from edgetune.finetune.strategies import STRATEGIES
from edgetune.finetune.trainer import add_weights
from edgetune.finetune.update import Loss, Update
from edgetune.progress import Tick

SMOOTHING = 0.9  # of the running mean of the loss
DIVERGED = 2.0  # times the lowest smoothed loss
MARGIN = 10.0  # the suggestion lies this far below the rate of the lowest loss
FEWEST = 10  # points without which there is nothing to suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTest:
    """The curve, and what to make of it; ``diverged`` tells whether the test saw a rate that is too high."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    diverged: bool

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def range_test(
    network: nn.Module,
    options: TrainOptions,
    examples: Examples,
    loss: Loss,
    tick: Tick,
    *,
    lowest: float,
    highest: float,
    steps: int,
    head: frozenset[str] = frozenset(),
) -> RangeTest:
    """Train ``network`` (which is spoilt by it) for at most ``steps`` batches at rates from ``lowest`` to ``highest``.

    Raises:
        TrainingError: the strategy has no learning rate; or the loss exploded before ten batches were seen.
    """
    strategy = importlib.import_module(STRATEGIES[options.strategy])
    if hasattr(strategy, "learn"):
        raise TrainingError(
            f"strategy {options.strategy} has no learning rate to find", hint='set `[finetune] strategy = "full"`'
        )
    update = make_update(network, options, loss, strategy.first_stage, head)
    torch.manual_seed(options.seed)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    diverged = False
    for number, (inputs, labels) in zip(range(steps), _endless(examples), strict=False):
        rate = lowest * (highest / lowest) ** (number / max(1, steps - 1))
        value = float(update.step(inputs, labels, rate))
        if not math.isfinite(value):
            diverged = True
            break
        rates.append(rate)
        losses.append(value)
        smoothed.append(smooth(losses))
        tick(number + 1, steps, f"rate {rate:.1e}, loss {value:.3f}")
        if smoothed[-1] > DIVERGED * min(smoothed):
            diverged = True
            break
    if len(rates) < FEWEST:
        raise TrainingError(
            f"the loss exploded after {len(rates)} batches, at a rate of {rates[-1] if rates else lowest:.1e}",
            hint="start lower (`--lowest`), or look for broken images",
        )
    return RangeTest(
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=tuple(smoothed),
        suggestion=suggest(rates, smoothed),
        diverged=diverged,
    )


def smooth(losses: list[float]) -> float:
    """The exponential running mean at the last of ``losses``, without the bias of its start (Kingma & Ba 2015)."""
    weights = [SMOOTHING ** (len(losses) - 1 - i) for i in range(len(losses))]
    return sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)


def suggest(rates: list[float], smoothed: list[float]) -> float:
    """A tenth of the rate at which the loss was lowest, rounded to two digits: near the top, and short of the edge."""
    lowest = min(range(len(smoothed)), key=lambda i: smoothed[i])
    return float(f"{rates[lowest] / MARGIN:.1e}")


def make_update(
    network: nn.Module, options: TrainOptions, loss: Loss, first_stage: Any, head: frozenset[str]
) -> Update:
    """The step of the training that is asked for, as it will be in its last epoch."""
    compute = choose_compute(options.precision)
    added = add_weights(network, options)
    network.to(compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stages = split_stages(network, head)
    first = first_stage(stages.head, options.epochs - 1, options.epochs, options.stages)
    freeze_below(network, stages, first, added)
    set_modes(network, stages, first, options.batch_norm)
    groups = parameter_groups(
        network, stages, weight_decay=options.weight_decay, layer_decay=options.layer_decay, l2_sp=options.l2_sp
    )
    return Update(
        network=network,
        optimizer=torch.optim.AdamW(groups, lr=options.learning_rate, fused=compute.device.type != "mps"),
        loss=loss,
        compute=compute,
        clip_norm=options.clip_norm,
        micro_batch=options.micro_batch,
    )


def _endless(examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in count():
        yield from examples.train(epoch, 0)
