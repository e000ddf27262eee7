"""Activations in terms of operators that have integer kernels."""

import torch
from torch import fx

aten = torch.ops.aten


def decompose_silu(graph: fx.GraphModule) -> None:
    """SiLU, in place, as x * sigmoid(x): ONNX Runtime runs both in integers, and SiLU as a whole only in float."""
    for node in list(graph.graph.nodes):
        if node.target in (aten.silu.default, aten.silu_.default):
            with graph.graph.inserting_after(node):
                sigmoid = graph.graph.call_function(aten.sigmoid.default, (node.args[0],))
            with graph.graph.inserting_after(sigmoid):
                product = graph.graph.call_function(aten.mul.Tensor, (node.args[0], sigmoid))
            node.replace_all_uses_with(product)
            graph.graph.erase_node(node)
    graph.recompile()
