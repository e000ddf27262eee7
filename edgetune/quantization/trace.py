"""From a module to a graph of aten operators."""

import copy

import torch
from torch import Tensor, fx, nn

from edgetune.errors import QuantizationError
from edgetune.quantization.decompose import write_out_padding
from edgetune.user_code import blamed, without_fake

MAX_BATCH = 4096
MODULE = "edgetune_module"  # in a node's meta: the user's name for the layer, which folding its weights keeps


def trace(network: nn.Module, example: Tensor, max_length: int | None = None) -> fx.GraphModule:
    """The inference graph of a frozen copy of ``network`` (``torch.export``), for any batch size.

    Args:
        example: one input [1, 3, H, W], or [1, L] of a network that reads text.
        max_length: of a text, in tokens; makes the second dimension free.

    Raises:
        QuantizationError: control flow that depends on values, or an operator that cannot be exported.
    """
    # Fake-quantizes of tensors that want gradients do not export.
    network = copy.deepcopy(network).eval().requires_grad_(False)
    sample = torch.cat([example, example])  # a batch of one would be taken for a constant
    free = {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}
    if max_length is not None:
        free[1] = torch.export.Dim("length", min=2, max=max_length)
    try:
        with torch.no_grad():
            program = torch.export.export(network, (sample,), dynamic_shapes=(free,))
            # Guards of the program's inputs are checked by nobody here and would be in the way of export.
            graph = program.module(check_guards=False)
    except Exception as problem:  # torch.export raises many unrelated types
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else ""
        place = blamed(network, problem)
        raise QuantizationError(
            f"the network cannot be traced{place}: {type(problem).__name__}: {first}",
            hint=without_fake(problem)
            or "torch.export needs a forward without Python control flow on tensor values; "
            'set `[quantize] mode = "none"` to go on in float',
        ) from problem
    if not isinstance(graph, fx.GraphModule):
        raise QuantizationError(f"torch.export gave a {type(graph).__name__} instead of a graph")
    write_out_padding(graph)
    for part in _graphs_of(graph):
        for node in part.graph.find_nodes(op="call_function", target=torch.ops.aten._assert_tensor_metadata.default):
            part.graph.erase_node(node)  # that a tensor is on the device where it was traced
        part.recompile()
    for node in graph.graph.nodes:
        weight = node.args[weight_place(node)] if len(node.args) > 1 else None
        if isinstance(weight, fx.Node) and weight.op == "get_attr":
            node.meta[MODULE] = str(weight.target).rpartition(".")[0]
    return graph


def follow(graph: fx.GraphModule, device: torch.device) -> None:
    """Have what a traced ``graph`` makes by itself, such as positions, made on the ``device`` its weights are on."""
    for module in graph.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):  # a constant, which is neither parameter nor buffer
                setattr(module, name, value.to(device))
    for part in _graphs_of(graph):
        for node in part.graph.nodes:
            node.args = tuple(device if isinstance(value, torch.device) else value for value in node.args)
            if node.kwargs.get("device") is not None:
                node.update_kwarg("device", device)
        part.recompile()


def _graphs_of(graph: fx.GraphModule) -> list[fx.GraphModule]:
    """``graph`` and those that lie in it, as what is computed without autocast does."""
    return [module for module in graph.modules() if isinstance(module, fx.GraphModule)]


def weight_place(node: fx.Node) -> int:
    """Which argument of a layer is its weight; a table comes before what is looked up in it."""
    return 0 if node.target is torch.ops.aten.embedding.default else 1


def within(layer: str, module: str) -> bool:
    """Whether a layer, by the user's name for it, is ``module`` or lies in it."""
    return layer == module or layer.startswith(f"{module}.")


def attribute(graph: fx.GraphModule, name: str) -> Tensor:
    """The parameter or buffer called ``name`` (dots lead into submodules)."""
    value: object = graph
    for part in name.split("."):
        value = getattr(value, part)
    if not isinstance(value, Tensor):
        raise QuantizationError(f"{name} of the traced network is a {type(value).__name__}, not a tensor")
    return value


def constant(graph: fx.GraphModule, node: object) -> Tensor | None:
    """The tensor a ``get_attr`` node stands for, or None for anything else."""
    if isinstance(node, fx.Node) and node.op == "get_attr":
        return attribute(graph, str(node.target))
    return None
