"""Where the fake-quantizes go: one on every tensor that feeds a quantisable operator, one on every weight.

Where the scheme says so, a layer's own output has one as well, also when a float operator reads it: ONNX Runtime runs
a convolution in integers only if its output is quantized (without, EfficientNet's INT8 engine was slower than float).
"""

import math

import torch
from torch import fx

from edgetune.errors import QuantizationError
from edgetune.quantization.fake_quant import ActivationFakeQuantize, WeightFakeQuantize
from edgetune.quantization.trace import MODULE, constant, within
from edgetune.records import QuantizationScheme
from edgetune.toml import nearest

aten = torch.ops.aten

HARDSIGMOID = {aten.hardsigmoid.default, aten.hardsigmoid_.default}
SATURATES_AT = -3.0  # hard-sigmoid, and so hard-swish, is 0 of all that is less
# Which arguments of an operator are activations, by the scheme's name for it.
OPERATORS: dict[str, dict[object, tuple[int, ...]]] = {
    "conv": {aten.conv2d.default: (0,)},
    "linear": {aten.linear.default: (0,)},
    "add": {aten.add.Tensor: (0, 1), aten.add_.Tensor: (0, 1)},
    "pool": {
        aten.adaptive_avg_pool2d.default: (0,),
        aten.avg_pool2d.default: (0,),
        aten.max_pool2d.default: (0,),
        aten.mean.dim: (0,),
    },
    "cat": {aten.cat.default: (0,)},
    "mul": {aten.mul.Tensor: (0, 1), aten.mul_.Tensor: (0, 1)},
    "sigmoid": {aten.sigmoid.default: (0,), aten.sigmoid_.default: (0,)},
    "hardsigmoid": dict.fromkeys(HARDSIGMOID, (0,)),
}
WEIGHTED = {aten.conv2d.default, aten.linear.default}
# What a backend fuses into the layer before it.
FUSED = {aten.relu.default, aten.relu_.default, aten.hardtanh.default, aten.hardtanh_.default}
# What moves values about and changes none.
MOVING = {
    aten.view.default,
    aten.reshape.default,
    aten.flatten.using_ints,
    aten.squeeze.dims,
    aten.squeeze.dim,
    aten.permute.default,
    aten.transpose.int,
    aten.contiguous.default,
    aten.dropout.default,
}


def insert_fake_quantize(graph: fx.GraphModule, scheme: QuantizationScheme, keep_float: tuple[str, ...] = ()) -> int:
    """Insert in place, as ``scheme`` says; returns the number of activations that are quantized.

    A tensor that feeds several operators is quantized once. The network's output stays float, and so do the
    convolutions and linear layers of the modules in ``keep_float``.

    Raises:
        QuantizationError: ``keep_float`` names what has no such layer.
    """
    kept = _kept(graph, keep_float)
    operators = {target: args for name in scheme.operators for target, args in OPERATORS[name].items()}
    quantized: dict[fx.Node, fx.Node] = {}
    weights: dict[str, fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.target not in operators or node in kept:
            continue
        sources = _activations(node, operators[node.target])
        if node.target in WEIGHTED and constant(graph, node.args[1]) is None:
            continue  # a weight that is computed: leave the layer in float
        if any(constant(graph, source) is not None for source in sources):
            continue  # adding a constant is not an operator on two activations
        if scheme.fused_add and node.target in OPERATORS["add"]:
            sources = _without_fused(sources)
        for source in sources:
            if source not in quantized:
                quantized[source] = _insert_activation(graph, source, scheme, len(quantized))
            node.replace_input_with(source, quantized[source])
        if node.target in WEIGHTED:
            _insert_weight(graph, node, scheme, weights)
    if scheme.layer_outputs:
        for layer in [node for node in graph.graph.nodes if node.target in WEIGHTED and _is_quantized(graph, node)]:
            _quantize_output(graph, layer, scheme, quantized)
    graph.graph.lint()
    graph.recompile()
    return len(quantized)


def _kept(graph: fx.GraphModule, names: tuple[str, ...]) -> set[fx.Node]:
    """The layers in the modules called ``names``."""
    layers = {node: str(node.meta.get(MODULE, "")) for node in graph.graph.nodes if node.target in WEIGHTED}
    kept: set[fx.Node] = set()
    for name in names:
        found = {node for node, module in layers.items() if within(module, name)}
        if not found:
            raise QuantizationError(
                f'`[quantize] keep_float` names "{name}", which has no convolution or linear layer',
                hint=nearest(name, sorted(set(layers.values()) - {""}), "layer"),
            )
        kept |= found
    return kept


def is_weight_quantized(graph: fx.GraphModule, layer: fx.Node) -> bool:
    """Whether a layer's weight goes through a fake-quantize."""
    weight = layer.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "call_module":
        return False
    return isinstance(graph.get_submodule(str(weight.target)), WeightFakeQuantize)


def fake_quantizes(graph: fx.GraphModule) -> list[ActivationFakeQuantize]:
    """The activations' fake-quantizes, in order."""
    return [module for module in graph.modules() if isinstance(module, ActivationFakeQuantize)]


def _activations(node: fx.Node, positions: tuple[int, ...]) -> list[fx.Node]:
    """The tensors that feed ``node``; empty when one of them is a plain number (x + 1)."""
    found: list[fx.Node] = []
    for position in positions:
        argument = node.args[position] if position < len(node.args) else None
        members = argument if isinstance(argument, (list, tuple)) else [argument]
        if not all(isinstance(member, fx.Node) for member in members):
            return []
        found += [member for member in members if isinstance(member, fx.Node) and member not in found]
    return found


def _without_fused(sources: list[fx.Node]) -> list[fx.Node]:
    """The inputs of an addition but for the last convolution that feeds it alone."""
    fused = [source for source in sources if source.target is aten.conv2d.default and len(source.users) == 1]
    return [source for source in sources if not fused or source is not fused[-1]]


def _insert_activation(graph: fx.GraphModule, source: fx.Node, scheme: QuantizationScheme, number: int) -> fx.Node:
    name = f"activation_fake_quantize_{number}"
    module = ActivationFakeQuantize(symmetric=scheme.activation == "int8", reach=_reach(source))
    graph.add_submodule(name, module)
    with graph.graph.inserting_after(source):
        return graph.graph.call_module(name, (source,))


def _reach(source: fx.Node) -> tuple[float, float]:
    """The values beyond which nothing that reads ``source`` tells them apart; a range need not hold more."""
    if source.target in HARDSIGMOID:
        return 0.0, 1.0
    gates = {reader for reader in source.users if reader.target in HARDSIGMOID}
    products = {
        reader
        for reader in source.users
        if reader.target is aten.mul.Tensor and any(gate in gates for gate in reader.all_input_nodes)
    }
    if gates and set(source.users) == gates | products:
        return SATURATES_AT, math.inf
    return -math.inf, math.inf


def _is_quantized(graph: fx.GraphModule, layer: fx.Node) -> bool:
    source = layer.args[0]
    return isinstance(source, fx.Node) and _fake_quantizes(graph, source)


def _fake_quantizes(graph: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), ActivationFakeQuantize)


def _quantize_output(
    graph: fx.GraphModule, layer: fx.Node, scheme: QuantizationScheme, quantized: dict[fx.Node, fx.Node]
) -> None:
    """Let all that reads the layer's output, or that of the ReLU behind it, read it quantized."""
    last = layer
    while len(last.users) == 1 and next(iter(last.users)).target in FUSED:
        last = next(iter(last.users))
    readers = [reader for reader in last.users if not _fake_quantizes(graph, reader)]
    if not readers or any(_leads_out(reader) for reader in readers):
        return
    if last not in quantized:
        quantized[last] = _insert_activation(graph, last, scheme, len(quantized))
    for reader in readers:
        reader.replace_input_with(last, quantized[last])


def _leads_out(node: fx.Node) -> bool:
    """Whether ``node`` is the network's output, or only moves values that are."""
    return node.op == "output" or (node.target in MOVING and any(_leads_out(reader) for reader in node.users))


def _insert_weight(
    graph: fx.GraphModule, layer: fx.Node, scheme: QuantizationScheme, weights: dict[str, fx.Node]
) -> None:
    source = layer.args[1]
    weight = constant(graph, source)
    if not isinstance(source, fx.Node) or weight is None:
        return
    key = str(source.target)
    if key not in weights:  # layers that share a weight share its fake-quantize
        name = f"weight_fake_quantize_{len(weights)}"
        module = WeightFakeQuantize(weight, per_channel=scheme.per_channel, reduce_range=scheme.reduce_range)
        graph.add_submodule(name, module)
        first = next(node for node in graph.graph.nodes if node.op == "get_attr" and str(node.target) == key)
        with graph.graph.inserting_after(first):
            weights[key] = graph.graph.call_module(name, (first,))
    layer.args = (layer.args[0], weights[key], *layer.args[2:])
