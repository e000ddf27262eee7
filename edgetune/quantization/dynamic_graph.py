"""Dynamic INT8 as a fake-quant graph, so that the same can be asked of it as of a calibrated one.

It rounds what ``quantize_weights`` makes integers: inputs and weights of linear layers, and tables that are looked up.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, fx, nn

from edgetune.errors import QuantizationError
from edgetune.quantization.fake_quant import DynamicFakeQuantize, TableFakeQuantize, WeightFakeQuantize
from edgetune.quantization.sensitivity import TABLE, layer_name
from edgetune.quantization.trace import constant, trace, weight_place, within
from edgetune.toml import nearest

LINEAR = torch.ops.aten.linear.default
LARGEST = {False: 127, True: 64}  # integer of a weight, by reduce_range
KINDS = {LINEAR: ("MatMul", "Gemm"), TABLE: ("Gather",)}  # what the exporter makes of a layer


def trace_dynamic(
    network: nn.Module,
    example: Tensor,
    max_length: int | None,
    *,
    per_channel: bool,
    reduce_range: bool,
    keep_float: Sequence[str] = (),
) -> fx.GraphModule:
    """``network`` with rounding where dynamic INT8 has it, for texts of any length.

    Args:
        example: token ids int64 [1, L].
        max_length: of a text, in tokens.
        per_channel, reduce_range: as of ``quantize_weights``.
        keep_float: modules whose layers are not rounded.

    Raises:
        QuantizationError: it cannot be traced.
    """
    graph = trace(network, example, max_length)
    rounded: dict[fx.Node, fx.Node] = {}

    def read_rounded(node: fx.Node, place: int, module: nn.Module) -> None:
        source = node.args[place]
        assert isinstance(source, fx.Node)
        if source not in rounded:
            name = f"fake_quantize_{len(rounded)}"
            graph.add_submodule(name, module)
            with graph.graph.inserting_after(source):
                rounded[source] = graph.graph.call_module(name, (source,))
        node.update_arg(place, rounded[source])

    tables: set[object] = set()
    for node in dynamic_layers(graph):
        if any(within(layer_name(node), name) for name in keep_float):
            continue
        if node.target is TABLE:
            read_rounded(node, 0, TableFakeQuantize())
            tables.add(node)
            continue
        if node.args[0] not in tables:  # whose integers a product takes as they are
            read_rounded(node, 0, DynamicFakeQuantize())
        weight, limit = constant(graph, node.args[1]), LARGEST[reduce_range]
        assert weight is not None  # as ``dynamic_layers`` has it
        scheme = {"per_channel": per_channel, "reduce_range": reduce_range}
        made = WeightFakeQuantize(weight, **scheme, limit=limit, tight=True)
        read_rounded(node, 1, made)
    graph.graph.lint()
    graph.recompile()
    return graph


def dynamic_layers(graph: fx.GraphModule) -> list[fx.Node]:
    """Linear layers and tables with constant weights, rounded or not, in the order of execution."""

    def weight(node: fx.Node) -> object:
        source = node.args[weight_place(node)]
        return source.args[0] if isinstance(source, fx.Node) and source.op == "call_module" else source

    return [node for node in graph.graph.nodes if node.target in KINDS and constant(graph, weight(node)) is not None]


def nodes_in_file(layers: Iterable[fx.Node], path: Path) -> dict[str, list[str]]:
    """{layer: the nodes of the float ONNX file at ``path`` that compute it}, by their order, which the exporter keeps.

    Args:
        layers: all of a network's ``dynamic_layers``.

    Raises:
        QuantizationError: the file has other layers.
    """
    model = onnx.load(path, load_external_data=False)
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, list[str]] = {}
    layers = list(layers)
    for kind, operators in KINDS.items():
        place = 0 if kind is TABLE else 1
        nodes = [n for n in model.graph.node if n.op_type in operators and len(shapes.get(n.input[place], ())) == 2]
        named = [layer_name(layer) for layer in layers if layer.target is kind]
        if len(nodes) != len(named):
            raise QuantizationError(
                f"the network has {len(named)} layers and its ONNX file {len(nodes)} of the kind {'/'.join(operators)}",
                hint="leave `[quantize] keep_float` out",
            )
        for name, node in zip(named, nodes, strict=True):
            found.setdefault(name, []).append(node.name)
    return found


def kept_nodes(names: Sequence[str], nodes: Mapping[str, list[str]]) -> list[str]:
    """The nodes of the layers in the modules called ``names``.

    Args:
        nodes: as ``nodes_in_file`` finds them.

    Raises:
        QuantizationError: a name has no such layer.
    """
    kept: list[str] = []
    for name in names:
        found = [layer for layer in nodes if within(layer, name)]
        if not found:
            raise QuantizationError(
                f'`[quantize] keep_float` names "{name}", which has no linear layer and no table',
                hint=nearest(name, sorted(nodes), "layer"),
            )
        kept += [node for layer in found for node in nodes[layer]]
    return kept
