"""Bias correction: rounding weights shifts a layer's mean output, and the bias takes that shift back.

The shift of an output channel is its weights' rounding errors times the mean input, summed (Nagel et al. 2019,
"Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2; means are those of calibration).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx

from edgetune.progress import Tick, silent
from edgetune.quantization.fake_quant import WeightFakeQuantize
from edgetune.quantization.insert import WEIGHTED, is_weight_quantized
from edgetune.quantization.trace import constant

aten = torch.ops.aten


@torch.no_grad()
def correct_biases(graph: fx.GraphModule, samples: Callable[[], Iterable[Tensor]], progress: Tick = silent) -> int:
    """Give every layer with quantized weights a corrected bias, in place; returns how many layers that were.

    Args:
        graph: calibrated; its activations are quantized as they will be on the device.
        samples: gives batches of images [N, 3, H, W]; read once.
    """
    means = _MeanInputs(graph)
    for number, batch in enumerate(samples(), start=1):
        means.run(batch)
        progress(number, 0, "bias correction")
    for number, (layer, mean) in enumerate(means.averages().items()):
        _replace_bias(graph, layer, _shift(graph, layer, mean), f"corrected_bias_{number}")
    graph.graph.lint()
    graph.recompile()
    return len(means.sums)


class _MeanInputs(fx.Interpreter):
    """Sums up the inputs of the layers by channel, batch after batch."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.graph_module = graph
        self.sums: dict[fx.Node, Tensor] = {}
        self.counts: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        if n.target in WEIGHTED and is_weight_quantized(self.graph_module, n):
            values = self.env[n.args[0]]  # type: ignore[index]
            channels = values.transpose(0, 1).flatten(1).T if n.target is aten.conv2d.default else values.flatten(0, -2)
            self.sums[n] = self.sums.get(n, torch.zeros(channels.shape[1])) + channels.sum(0)
            self.counts[n] = self.counts.get(n, 0) + len(channels)
        return super().run_node(n)

    def averages(self) -> dict[fx.Node, Tensor]:
        """{layer: mean input [channels]}."""
        return {layer: total / self.counts[layer] for layer, total in self.sums.items()}


def _shift(graph: fx.GraphModule, layer: fx.Node, mean: Tensor) -> Tensor:
    """How much rounding the weights moves the mean output [O]; padding is left out of account."""
    quantize = layer.args[1]
    assert isinstance(quantize, fx.Node)
    weight = constant(graph, quantize.args[0])
    assert weight is not None
    fake = graph.get_submodule(str(quantize.target))
    assert isinstance(fake, WeightFakeQuantize)
    error: Tensor = fake(weight) - weight
    if fake.moved is not None:
        error += fake.moved
    if layer.target is not aten.conv2d.default:
        return error @ mean
    groups = mean.numel() // error.shape[1]
    by_group = mean.view(groups, -1).repeat_interleave(len(error) // groups, 0)
    return (error.flatten(2).sum(2) * by_group).sum(1)


def _replace_bias(graph: fx.GraphModule, layer: fx.Node, shift: Tensor, name: str) -> None:
    """A bias of the layer's own: layers may share one, and some have none."""
    before = constant(graph, layer.args[2]) if len(layer.args) > 2 else None
    graph.register_buffer(name, (before.detach() if before is not None else 0.0) - shift)
    with graph.graph.inserting_before(layer):
        bias = graph.graph.get_attr(name)
    layer.args = (*layer.args[:2], bias, *layer.args[3:])
