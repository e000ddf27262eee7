"""Make a transformer encoder as fast as asked: whole layers first, then heads and FFN neurons.

A layer costs more than its arithmetic (norms, softmax, a dozen small kernels), which only leaving it out saves; so as
many layers go as fit into what is to be saved, those that the loss misses least (cf. Sajjad et al. 2023, "On the
effect of dropping layers of pre-trained transformer models"). What is left to save goes by the Fisher score of heads
(Michel et al. 2019 use its first-order form) and neurons per millisecond.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgetune.errors import PruningError
from edgetune.models.encoder_layers import Cut, EncoderLayer, drop_layers, encoder_layers
from edgetune.pruning.criteria.batches import Batches, backward

LEAST_LAYERS = 1
LEAST_SHARE = 0.25  # of the neurons of an FFN, and of the heads of an attention
PART = 8  # samples whose gradients make one of the squares that are averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCosts:
    """Milliseconds on the target: the whole network, one layer, all neurons of one FFN, all heads of one attention."""

    whole: float
    layer: float
    neurons: float
    heads: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What can go at once: some neurons or one head of a layer."""

    layer: int
    kind: str  # neurons | heads
    indices: tuple[int, ...]
    loss: float
    ms: float


def prune_encoder(
    network: nn.Module, costs: EncoderCosts, speedup: float, multiple: int, samples: list[tuple[Tensor, Tensor]]
) -> list[Cut]:
    """Cut ``network`` in place until ``costs`` say it is ``speedup`` times as fast; returns what went.

    Args:
        multiple: neurons go so many at a time.
        samples: batches (token ids [N, L], labels [N]) to judge by.

    Raises:
        PruningError: there is not enough to take.
    """
    network.eval()
    to_save = costs.whole - costs.whole / speedup
    history: list[Cut] = []
    if dropped := _layers_to_drop(encoder_layers(network), costs, to_save, multiple):
        gone = least_missed(network, dropped, samples)
        history.append(drop_layers(network, gone))
    history += cut_width(network, costs, to_save - dropped * costs.layer, multiple, samples)
    return history


def _layers_to_drop(layers: Sequence[EncoderLayer], costs: EncoderCosts, to_save: float, multiple: int) -> int:
    """As many as fit into ``to_save`` ms, or more where the width of the others does not suffice for the rest.

    Raises:
        PruningError: all but one, and the width of that one, are too little.
    """
    first = layers[0]
    width = costs.neurons * _most_neurons(first.neurons, multiple) / first.neurons
    width += costs.heads * _most_heads(first.heads) / first.heads
    fitting = int(to_save / costs.layer) if costs.layer > 0 else 0
    most = len(layers) - LEAST_LAYERS
    for dropped in range(min(fitting, most), most + 1):
        if to_save - dropped * costs.layer <= (len(layers) - dropped) * width + 1e-9:
            return dropped
    at_most = costs.whole / (costs.whole - most * costs.layer - LEAST_LAYERS * width)
    raise PruningError(
        f"this encoder cannot be pruned to run more than {at_most:.3g} times as fast",
        hint="ask for less in `[prune] target_speedup`, or fine-tune a smaller encoder",
    )


def _most_neurons(neurons: int, multiple: int) -> int:
    return int(neurons * (1 - LEAST_SHARE)) // multiple * multiple


def _most_heads(heads: int) -> int:
    return int(heads * (1 - LEAST_SHARE))


def least_missed(network: nn.Module, number: int, samples: Batches) -> list[int]:
    """The layers without which the loss is lowest, found one after the other."""
    samples = list(samples)
    gone: list[int] = []
    for _ in range(number):
        losses = {}
        for layer in range(len(encoder_layers(network))):
            if layer not in gone:
                without = copy.deepcopy(network)
                drop_layers(without, [*gone, layer])
                losses[layer] = _loss(without, samples)
        gone.append(min(losses, key=lambda layer: losses[layer]))
    return sorted(gone)


def cut_width(network: nn.Module, costs: EncoderCosts, to_save: float, multiple: int, samples: Batches) -> list[Cut]:
    """Cut heads and neurons of least loss per millisecond until ``to_save`` ms are saved, or all there is is cut."""
    if to_save <= 0:
        return []
    layers = encoder_layers(network)
    units = sorted(_units(network, layers, costs, multiple, samples), key=lambda unit: unit.loss / unit.ms)
    gone: dict[tuple[int, str], list[int]] = defaultdict(list)
    saved = 0.0
    for unit in units:
        if saved >= to_save:
            break
        gone[unit.layer, unit.kind] += unit.indices
        saved += unit.ms
    history = []
    for (number, kind), indices in sorted(gone.items()):
        layer = layers[number]
        history.append(layer.cut_heads(indices) if kind == "heads" else layer.cut_neurons(indices))
    return history


def _units(
    network: nn.Module, layers: Sequence[EncoderLayer], costs: EncoderCosts, multiple: int, samples: Batches
) -> Iterator[Unit]:
    """Every head and every ``multiple`` of neurons, but for the share of each layer that stays."""
    scores = _fisher(network, layers, samples)
    for number, layer in enumerate(layers):
        neurons = scores[layer.names.down, number]
        order = torch.argsort(neurons).tolist()
        for start in range(0, _most_neurons(len(order), multiple), multiple):
            chosen = order[start : start + multiple]
            if costs.neurons > 0:
                ms = costs.neurons * multiple / len(order)
                yield Unit(
                    layer=number, kind="neurons", indices=tuple(chosen), loss=float(neurons[chosen].sum()), ms=ms
                )
        heads = scores[layer.names.output, number]
        for head in torch.argsort(heads).tolist()[: _most_heads(len(heads))]:
            if costs.heads > 0:
                ms = costs.heads / len(heads)
                yield Unit(layer=number, kind="heads", indices=(head,), loss=float(heads[head]), ms=ms)


def _fisher(network: nn.Module, layers: Sequence[EncoderLayer], samples: Batches) -> dict[tuple[str, int], Tensor]:
    """Mean squared derivative of the loss by the gate of each neuron and head: {(its reader, layer): [gates]}."""
    found: dict[tuple[str, int], Tensor] = {}
    parts = 0
    for ids, labels in samples:
        for part, wanted in zip(ids.split(PART), labels.split(PART), strict=True):
            network.zero_grad(set_to_none=True)
            backward(network, part, wanted)
            parts += 1
            for number, layer in enumerate(layers):
                for name, groups in ((layer.names.down, layer.neurons), (layer.names.output, layer.heads)):
                    linear = layer.linear(name)
                    assert linear.weight.grad is not None
                    gates = (linear.weight.detach() * linear.weight.grad).sum(0).view(groups, -1).sum(1)
                    found[name, number] = found.get((name, number), 0) + gates.square()
    network.zero_grad(set_to_none=True)
    return {key: value / parts for key, value in found.items()}


@torch.no_grad()
def _loss(network: nn.Module, samples: Batches) -> float:
    total, count = 0.0, 0
    for ids, labels in samples:
        total += float(functional.cross_entropy(network(ids), labels, reduction="sum"))
        count += len(labels)
    return total / count
