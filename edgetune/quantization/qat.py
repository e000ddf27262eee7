"""Quantization-aware training: a fake-quant graph as a network whose weights, biases and scales learn.

Scales are learned as in LSQ (Esser et al. 2020, "Learned Step Size Quantization"), by their logarithm, so that they
stay above zero and a step changes them by a share; zero points stay. Batch norms are folded already, which is the same
as freezing them. Of a graph of dynamic INT8 the weights' scales learn; ranges of activations and tables are found in
every forward, as the engine finds them.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgetune.quantization.fake_quant import WeightFakeQuantize
from edgetune.quantization.insert import WEIGHTED, fake_quantizes
from edgetune.quantization.trace import attribute, follow


class QuantizedNetwork(nn.Module):
    """A fake-quant graph that can be trained. ``settle`` gives the graph back with what was learned in it.

    ``learn_scales`` off: ranges stay as calibration chose them, only weights and biases learn.
    """

    def __init__(self, graph: fx.GraphModule, *, learn_scales: bool = True) -> None:
        super().__init__()
        self.graph = graph
        for name in list(_biases(graph)):
            if name in dict(graph.named_buffers()):  # corrected ones
                value = attribute(graph, name)
                del graph._buffers[name]
                graph.register_parameter(name, nn.Parameter(value))
        graph.requires_grad_(True)
        if learn_scales:
            for activation in fake_quantizes(graph):
                activation.learn()
            for weight in self._weights():
                weight.learn()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [N, K] of float32 [N, 3, H, W] or of token ids [N, L]."""
        logits: Tensor = self.graph(inputs)
        return logits

    def _apply(self, *args: Any, **more: Any) -> "QuantizedNetwork":  # what ``to`` and its kin come to
        super()._apply(*args, **more)  # type: ignore[no-untyped-call]
        follow(self.graph, next(self.graph.parameters()).device)
        return self

    def train(self, mode: bool = True) -> "QuantizedNetwork":
        """The graph is that of inference, and has no other mode."""
        self.training = mode
        return self

    @torch.no_grad()
    def settle(self) -> fx.GraphModule:
        """The graph with the learned scales, ready for export; weights are cut to what their 8 (or 7) bits hold."""
        for node in self.graph.graph.nodes:
            if node.op == "call_module":
                module = self.graph.get_submodule(str(node.target))
                if isinstance(module, WeightFakeQuantize) and module.log_scale is not None:
                    attribute(self.graph, str(node.args[0].target)).copy_(
                        module.settle(attribute(self.graph, str(node.args[0].target)))
                    )
        for activation in fake_quantizes(self.graph):
            activation.settle()
        self.graph.requires_grad_(False)
        return self.graph

    def _weights(self) -> list[WeightFakeQuantize]:
        return [module for module in self.graph.modules() if isinstance(module, WeightFakeQuantize)]


@torch.no_grad()
def take_weights(network: nn.Module, graph: fx.GraphModule) -> None:
    """Copy into ``network`` what learned in a ``graph`` that was traced from it, where all has the network's names."""
    own = dict(chain(network.named_buffers(), network.named_parameters(remove_duplicate=False)))
    for name, value in graph.named_parameters():
        own[name].copy_(value)


def _biases(graph: fx.GraphModule) -> Iterator[str]:
    """Names of the constants that layers take as bias."""
    for node in graph.graph.nodes:
        if node.target in WEIGHTED and len(node.args) > 2:
            bias = node.args[2]
            if isinstance(bias, fx.Node) and bias.op == "get_attr":
                yield str(bias.target)
