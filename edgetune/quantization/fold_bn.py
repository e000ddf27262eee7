"""Fold batch norm into the convolution or linear layer before it (Jacob et al. 2018, section 3.2)."""

import torch
from torch import Tensor, fx, nn

from edgetune.quantization.trace import constant

aten = torch.ops.aten
BATCH_NORMS = {aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default}
LAYERS = {aten.conv2d.default, aten.conv1d.default, aten.linear.default}


def fold_batch_norms(graph: fx.GraphModule) -> int:
    """Fold in place and return how many; a batch norm that does not follow such a layer alone stays."""
    folded = 0
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in BATCH_NORMS and _fold(graph, node, folded):
            folded += 1
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return folded


def _fold(graph: fx.GraphModule, norm: fx.Node, number: int) -> bool:
    layer = norm.args[0]
    if not isinstance(layer, fx.Node) or layer.target not in LAYERS or len(layer.users) > 1:
        return False
    weight = constant(graph, layer.args[1])
    mean, variance = (constant(graph, norm.args[i]) for i in (3, 4))
    if weight is None or mean is None or variance is None:
        return False
    bias = constant(graph, layer.args[2]) if len(layer.args) > 2 else None
    gamma, beta = constant(graph, norm.args[1]), constant(graph, norm.args[2])
    epsilon = float(norm.args[7] if norm.target is aten.batch_norm.default else norm.args[6])  # type: ignore[arg-type]
    new_weight, new_bias = _folded(weight, bias, gamma, beta, mean, variance, epsilon)
    names = f"folded_weight_{number}", f"folded_bias_{number}"
    for name, value in zip(names, (new_weight, new_bias), strict=True):
        graph.register_parameter(name, nn.Parameter(value, requires_grad=False))
    with graph.graph.inserting_before(layer):
        nodes = [graph.graph.get_attr(name) for name in names]
    layer.args = (layer.args[0], *nodes, *layer.args[3:])
    norm.replace_all_uses_with(layer)
    graph.graph.erase_node(norm)
    return True


def _folded(
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """(weight, bias) of the layer that does what both did; computed in float64."""
    factor = (gamma.double() if gamma is not None else 1.0) / torch.sqrt(variance.double() + epsilon)
    shift = -mean.double() if bias is None else bias.double() - mean.double()
    new_bias = shift * factor + (beta.double() if beta is not None else 0.0)
    new_weight = weight.double() * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return new_weight.float().detach(), new_bias.float().detach()
