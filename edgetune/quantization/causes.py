"""Why a layer suffers from 8 bits: what its range, its values and its weights look like, in sentences."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

from edgetune.quantization.fake_quant import ActivationFakeQuantize, DynamicFakeQuantize, WeightFakeQuantize
from edgetune.quantization.ranges import Seen
from edgetune.quantization.sensitivity import Noise, Partly, quantized_operators
from edgetune.quantization.trace import constant

OUTLIERS = 4.0  # times the 99.9th percentile of the magnitudes
CLIPPED = 0.01  # share of values outside the range
UNLIKE = 10.0  # the largest channel's weights against the median channel's, under one scale


def causes(graph: fx.GraphModule, node: fx.Node, noise: Noise, seen: dict[ActivationFakeQuantize, Seen]) -> list[str]:
    """What stands out about the operator; the side with more noise comes first. Empty: nothing does."""
    inputs, weights = [], []
    for source in node.all_input_nodes:
        if source.op != "call_module":
            continue
        module = graph.get_submodule(str(source.target))
        if isinstance(module, ActivationFakeQuantize) and module in seen:
            inputs += _of_activation(module, seen[module])
        elif isinstance(module, WeightFakeQuantize):
            weight = constant(graph, source.args[0])
            weights += _of_weight(module, weight) if weight is not None else []
    louder = noise.weight is not None and (noise.activations is None or noise.weight < noise.activations)
    return weights + inputs if louder else inputs + weights


def _of_activation(module: ActivationFakeQuantize, seen: Seen) -> list[str]:
    said, counts, centres = [], seen.histogram, seen.centres
    total = float(counts.sum())
    low = (module.quant_min - module.zero_point) * module.scale
    high = (module.quant_max - module.zero_point) * module.scale
    if total == 0.0:
        return ["its input is always the same value"]
    magnitudes, order = centres.abs().sort()
    usual = float(magnitudes[min(int((counts[order].cumsum(0) < 0.999 * total).sum()), len(counts) - 1)])
    reach = max(-low, high)
    if usual > 0 and reach > OUTLIERS * usual:
        said.append(f"range outliers: its input reaches {reach:.3g}, but 99.9 % of the values lie within {usual:.3g}")
    clipped = float(counts[(centres < low - module.scale) | (centres > high + module.scale)].sum()) / total
    if clipped > CLIPPED:
        said.append(f"saturation: {100 * clipped:.1f} % of its input lie outside the range and are clipped")
    if module.symmetric and seen.low >= 0.0:
        said.append("half of the steps stand for negative values that its input does not have (symmetric scheme)")
    return said


def _of_weight(module: WeightFakeQuantize, weight: Tensor) -> list[str]:
    said = []
    largest = weight.detach().abs().flatten(1).amax(1)
    median = float(largest.median())
    if not module.per_channel and median > 0 and float(largest.max()) > UNLIKE * median:
        ratio = float(largest.max()) / median
        said.append(f"unlike channels: one scale for weights whose largest channel is {ratio:.0f} times the median one")
    with torch.no_grad():
        lost = int(((module(weight).abs().flatten(1).amax(1) == 0) & (largest > 0)).sum())
    if lost:
        said.append(f"{lost} of {len(largest)} output channels round to nothing")
    dead = int((largest == 0).sum())
    if dead:
        said.append(f"dead channels: {dead} of {len(largest)} have no weights at all (pruning would take them)")
    return said


@torch.no_grad()
def dynamic_causes(graph: fx.GraphModule, batches: Iterable[Tensor]) -> dict[fx.Node, list[str]]:
    """What stands out about each operator of a graph whose ranges are found in each inference.

    Args:
        batches: token ids int64 [N, L] to run it on.
    """
    watched = _Channels(graph)
    for batch in batches:
        watched.run(batch)
    found = {}
    for node in quantized_operators(graph):
        said: list[str] = []
        for source in node.all_input_nodes:
            module = graph.get_submodule(str(source.target)) if source.op == "call_module" else None
            if isinstance(module, DynamicFakeQuantize):
                said += _of_channels(watched.largest[source])
            elif isinstance(module, WeightFakeQuantize):
                weight = constant(graph, source.args[0])
                said += _of_weight(module, weight) if weight is not None else []
        found[node] = said
    return found


class _Channels(Partly):
    """Runs in float and keeps the largest magnitude of each channel (last axis) of what is rounded."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph, ())
        self.largest: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(self.fakes.get(n), DynamicFakeQuantize):
            here = result.abs().reshape(-1, result.shape[-1]).amax(0)
            self.largest[n] = torch.maximum(self.largest.get(n, here), here)
        return result


def _of_channels(largest: Tensor) -> list[str]:
    """Of the channels' largest magnitudes: few that reach far take the steps from all others."""
    median, most = float(largest.median()), float(largest.max())
    if median <= 0 or most <= UNLIKE * median:
        return []
    count = int((largest > UNLIKE * median).sum())
    reach = f"{count} of {len(largest)} channels reach" if count > 1 else f"one of {len(largest)} channels reaches"
    return [f"outlier channels: {reach} {most:.3g}, the median one {median:.2g}, and all share one range (SmoothQuant)"]
