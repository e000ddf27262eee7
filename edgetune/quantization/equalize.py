"""Cross-layer equalisation: channels of two layers in a row are rescaled so that their weights have like ranges.

relu(s x) = s relu(x) for s > 0, so a channel's scale may move from a layer to the one behind it without changing the
network (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1). It
helps where a whole weight has one scale. As in that paper, ReLU6 between two such layers becomes ReLU: a change of
the network that calibrated ranges, which clip too, make small where few values reached 6.

A channel that is almost only its bias (its weights died in training) is not blown up to the others' weights, as its
bias would be too and stretch the activations' range; the paper moves such biases on to the next layer instead (section
4.1.3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgetune.quantization.trace import MODULE, constant

aten = torch.ops.aten
RELU = {aten.relu.default, aten.relu_.default}
HARDTANH = {aten.hardtanh.default, aten.hardtanh_.default}
RELU6 = {aten.relu6.default, aten.relu6_.default}
LAYERS = {aten.conv2d.default, aten.linear.default}
LARGEST_INPUT = 6.0  # what a bias is held against a weight with: ReLU6 lets no more through
ROUNDS = 20
ENOUGH = 1e-3  # largest relative change of a scale at which rounds end


@dataclass(frozen=True, slots=True)
class _Pair:
    first: fx.Node
    activation: fx.Node | None
    second: fx.Node


def equalize(graph: fx.GraphModule) -> int:
    """Rescale in place all pairs of layers that feed one another alone; returns how many there are.

    Args:
        graph: traced, its batch norms folded, without fake-quantizes.
    """
    pairs = _pairs(graph)
    layers = list(dict.fromkeys(layer for pair in pairs for layer in (pair.first, pair.second)))
    weights = {layer: weight for layer in layers if (weight := _tensor(graph, layer, 1)) is not None}
    biases = {pair.first: _tensor(graph, pair.first, 2) for pair in pairs}
    for _ in range(ROUNDS):
        changes = [_rescale(pair, weights, biases) for pair in pairs]
        if max(changes, default=0.0) < ENOUGH:
            break
    for number, layer in enumerate(layers):
        _replace(graph, layer, 1, f"equalized_weight_{number}", weights[layer])
        if (bias := biases.get(layer)) is not None:
            _replace(graph, layer, 2, f"equalized_bias_{number}", bias)
    for pair in pairs:
        if pair.activation is not None and pair.activation.target not in RELU:
            pair.activation.target, pair.activation.args = aten.relu.default, (pair.activation.args[0],)
    graph.graph.lint()
    graph.recompile()
    return len(pairs)


def _pairs(graph: fx.GraphModule) -> list[_Pair]:
    uses: dict[str, int] = {}
    for node in graph.graph.nodes:
        for source in node.all_input_nodes:
            if source.op == "get_attr":
                uses[str(source.target)] = uses.get(str(source.target), 0) + 1
    found = []
    for first in graph.graph.nodes:
        if not _rescalable(graph, first, uses):
            continue
        last, activation = first, None
        while len(last.users) == 1 and _is_relu(next(iter(last.users))) and activation is None:
            last = activation = next(iter(last.users))
        if len(last.users) != 1:
            continue
        second = next(iter(last.users))
        if _rescalable(graph, second, uses) and second.args[0] is last and _by_channel(graph, first, second):
            found.append(_Pair(first, activation, second))
    return found


def _is_relu(node: fx.Node) -> bool:
    """ReLU or ReLU6, which is traced as a hard tanh from 0 to 6; one with other ends is no such thing."""
    return node.target in RELU | RELU6 or (node.target in HARDTANH and tuple(node.args[1:]) == (0.0, 6.0))


def _rescalable(graph: fx.GraphModule, layer: fx.Node, uses: dict[str, int]) -> bool:
    """Whether the layer's weight and bias are constants that nothing else reads."""
    if layer.target not in LAYERS or constant(graph, layer.args[1]) is None:
        return False
    return all(uses[str(node.target)] == 1 for node in layer.all_input_nodes if node.op == "get_attr")


def _by_channel(graph: fx.GraphModule, first: fx.Node, second: fx.Node) -> bool:
    """Whether the second layer reads the first one's channels whole (not in groups of several)."""
    if first.target is not second.target:
        return False
    weight = constant(graph, first.args[1])
    out = 0 if weight is None else len(weight)
    return _groups(second) in (1, out)


def _groups(layer: fx.Node) -> int:
    return int(layer.args[6]) if layer.target is aten.conv2d.default and len(layer.args) > 6 else 1  # type: ignore[arg-type]


def _rescale(pair: _Pair, weights: dict[fx.Node, Tensor], biases: dict[fx.Node, Tensor | None]) -> float:
    """Make the pair's ranges equal by channel; returns how far the largest scale is from 1."""
    first, second, depthwise = weights[pair.first], weights[pair.second], _groups(pair.second) > 1
    before, bias = first.abs().flatten(1).amax(1), biases[pair.first]
    if bias is not None:
        before = torch.maximum(before, bias.abs() / LARGEST_INPUT)
    by_input = second.reshape(len(first), -1) if depthwise else second.transpose(0, 1).flatten(1)
    after = by_input.abs().amax(1)
    scale = torch.where((before > 0) & (after > 0), (before * after).sqrt() / after.clamp_min(1e-30), 1.0)
    weights[pair.first] = first / scale.reshape(-1, *[1] * (first.ndim - 1))
    if depthwise:  # each channel has the same number of filters of its own
        filters = scale.repeat_interleave(len(second) // len(first))
        weights[pair.second] = second * filters.reshape(-1, *[1] * (second.ndim - 1))
    else:
        weights[pair.second] = second * scale.reshape(1, -1, *[1] * (second.ndim - 2))
    if bias is not None:
        biases[pair.first] = bias / scale
    return float((scale - 1).abs().max())


def _tensor(graph: fx.GraphModule, layer: fx.Node, position: int) -> Tensor | None:
    found = constant(graph, layer.args[position]) if position < len(layer.args) else None
    return None if found is None else found.detach().double()


def _replace(graph: fx.GraphModule, layer: fx.Node, position: int, name: str, value: Tensor) -> None:
    graph.register_parameter(name, torch.nn.Parameter(value.float(), requires_grad=False))
    with graph.graph.inserting_before(layer):
        node = graph.graph.get_attr(name)
    node.meta[MODULE] = layer.meta.get(MODULE, "")
    layer.update_arg(position, node)
