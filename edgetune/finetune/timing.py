"""How long a training will take, told from a few of its batches."""

import importlib
import statistics
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.lr_find import make_update
from edgetune.finetune.options import Examples, TrainOptions
from edgetune.finetune.precision import choose_compute, finish
from edgetune.finetune.strategies import STRATEGIES
from edgetune.finetune.update import Loss, Update
from edgetune.progress import Tick

WARMUPS, BATCHES = 2, 6  # the latter are timed
FIT = 1.2  # of a forward pass over the data, that fitting a head to its features takes at most, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What was timed, and ``seconds`` for the whole training."""

    seconds: float
    step_seconds: float  # of one batch that was loaded before; without epochs, of one sample
    first_step_seconds: float  # the same, loaded for the first time
    validation_seconds: float
    steps_per_epoch: int
    device: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def time_training(
    network: nn.Module, options: TrainOptions, examples: Examples, loss: Loss, tick: Tick, head: frozenset[str]
) -> Timing:
    """Judge ``network`` once, train it (which spoils it) for a few batches, twice the same ones, and reckon up.

    The first time pictures are decoded, afterwards they may be kept. Stages that learn are those of the last epoch.
    """
    strategy = importlib.import_module(STRATEGIES[options.strategy])
    device, count = choose_compute(options.precision).device, examples.steps_per_epoch
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.perf_counter()
    evaluate(network, examples.validation(), device)
    judged = time.perf_counter() - started
    if hasattr(strategy, "learn"):
        first = again = _forward_seconds(network, examples, device)
        seconds = FIT * (examples.samples * first + judged)
    else:
        update = make_update(network, options, loss, strategy.first_stage, head)
        torch.manual_seed(options.seed)
        first, again = (_step_seconds(update, examples, options, tick) for _ in range(2))
        seconds = options.epochs * (count * again + judged) + count * max(0.0, first - again)
    return Timing(
        seconds=seconds,
        step_seconds=again,
        first_step_seconds=first,
        validation_seconds=judged,
        steps_per_epoch=count,
        device=device.type,
    )


def _step_seconds(update: Update, examples: Examples, options: TrainOptions, tick: Tick) -> float:
    """Of loading and learning a batch, the median."""
    times: list[float] = []
    batches = islice(examples.train(0, 0), WARMUPS + BATCHES)
    started = time.perf_counter()
    for inputs, labels in batches:
        float(update.step(inputs, labels, options.learning_rate / 100))
        finish(update.compute.device)
        times.append(time.perf_counter() - started)
        tick(len(times), WARMUPS + BATCHES, "timing")
        started = time.perf_counter()
    return statistics.median(times[WARMUPS:] or times)


def _forward_seconds(network: nn.Module, examples: Examples, device: torch.device) -> float:
    """Of loading a sample and computing its features."""
    samples, started = 0, time.perf_counter()
    for batch in islice(examples.plain(), BATCHES):
        evaluate(network, [batch], device)
        samples += len(batch[1])
    return (time.perf_counter() - started) / samples
