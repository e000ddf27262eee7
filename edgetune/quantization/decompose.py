"""Operators in terms of those that have integer kernels and that the other passes know."""

from collections.abc import Set

import torch
from torch import fx

aten = torch.ops.aten


SILU = {aten.silu.default, aten.silu_.default}
HARDSWISH = {aten.hardswish.default, aten.hardswish_.default}


def decompose_silu(graph: fx.GraphModule) -> None:
    """SiLU, in place, as x * sigmoid(x): ONNX Runtime runs both in integers, and SiLU as a whole only in float."""
    _as_gated(graph, SILU, aten.sigmoid.default)


def decompose_hardswish(graph: fx.GraphModule) -> None:
    """Hard-swish, in place, as x * hardsigmoid(x), for the same reason (Howard et al. 2019, "Searching for
    MobileNetV3", section 5.2).
    """
    _as_gated(graph, HARDSWISH, aten.hardsigmoid.default)


def _as_gated(graph: fx.GraphModule, kinds: Set[object], gate: torch._ops.OpOverload) -> None:
    """Replace the operators ``kinds`` by x * gate(x)."""
    for node in list(graph.graph.nodes):
        if node.target in kinds:
            with graph.graph.inserting_after(node):
                opened = graph.graph.call_function(gate, (node.args[0],))
            with graph.graph.inserting_after(opened):
                product = graph.graph.call_function(aten.mul.Tensor, (node.args[0], opened))
            node.replace_all_uses_with(product)
            graph.graph.erase_node(node)
    graph.recompile()


def write_out_padding(graph: fx.GraphModule) -> None:
    """Convolutions with "valid" or "same" padding, in place, as ones with numbers; "same" with an even reach stays.

    There one side has more padding than the other, which no number says; such a layer computes in float.
    """
    for node in list(graph.graph.nodes):
        if node.target is not aten.conv2d.padding:
            continue
        mode = node.args[4] if len(node.args) > 4 else "valid"
        dilation = list(node.args[5]) if len(node.args) > 5 else [1, 1]
        reach = [0, 0]
        if mode == "same":
            kernel = node.args[1].meta["val"].shape[2:]
            reach = [step * (size - 1) for step, size in zip(dilation * 2, kernel, strict=False)]
        if any(length % 2 for length in reach):
            continue
        given = [*node.args[:4], *([None, [1, 1]][len(node.args) - 2 :] if len(node.args) < 4 else [])]
        node.target = aten.conv2d.default
        node.args = (*given, [length // 2 for length in reach], *node.args[5:])
    graph.recompile()
