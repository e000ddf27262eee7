"""Write what a network computes with the operators that engines have fast kernels for; the values stay the same."""

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgetune.export.fold_weights import drop_unused

SPATIAL, RANK = [2, 3], 4  # axes of [N, C, H, W]
ALPHA, BETA = 1 / 6, 0.5  # of torch's hard-sigmoid
CLOSE = 1e-4
HALF = "one_half"


def average_globally(model: onnx.ModelProto) -> int:
    """Each ReduceMean over height and width as GlobalAveragePool, in place; returns how many.

    They are the same. ONNX Runtime has an integer kernel for the second only: the averages of squeeze-and-excitation
    were computed in float, between conversions.
    """
    constants, ranks = _constants(model.graph), _ranks(model)
    changed = 0
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != RANK:
            continue
        if _axes(node, constants) == SPATIAL and _keeps_axes(node):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
            changed += 1
    drop_unused(model.graph)
    return changed


def add_for_hard_sigmoid(model: onnx.ModelProto) -> int:
    """Each quantized hard-sigmoid as a quantized addition, in place; returns how many.

    hardsigmoid(x) = min(max(x / 6 + 1/2, 0), 1). Of an x that is quantized, x / 6 is the same integers with a sixth of
    the scale. Where the result is quantized with 0 as the lowest value and nothing above 1, rounding it to 8 bits
    cuts at both ends, and an addition is all that is left to do. ONNX Runtime adds in integers and has no such kernel
    for HardSigmoid (nor for HardSwish, which is quantized as x * hardsigmoid(x)).
    """
    graph = model.graph
    constants = _constants(graph)
    producers = {output: node for node in graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    changed = 0
    for node in graph.node:
        source = producers.get(node.input[0]) if node.op_type == "HardSigmoid" else None
        if source is not None and source.op_type == "DequantizeLinear" and _cut_by_rounding(graph, node, constants):
            nodes += _addition(graph, node, source, constants)
            changed += 1
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return changed


def _addition(
    graph: onnx.GraphProto, node: onnx.NodeProto, source: onnx.NodeProto, constants: dict[str, NDArray[Any]]
) -> list[onnx.NodeProto]:
    out = node.output[0]
    if HALF not in constants:
        for name, value in ((HALF, np.uint8(1)), (f"{HALF}_scale", np.float32(BETA)), (f"{HALF}_zero", np.uint8(0))):
            constants[name] = np.asarray(value)
            graph.initializer.append(numpy_helper.from_array(constants[name], name))
    scale = (constants[source.input[1]] * np.float32(ALPHA)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(scale, f"{out}_sixth_scale"))
    sixth = [source.input[0], f"{out}_sixth_scale", *source.input[2:]]
    half = [HALF, f"{HALF}_scale", f"{HALF}_zero"]
    return [
        helper.make_node("DequantizeLinear", sixth, [f"{out}_sixth"], name=f"{out}_sixth"),
        helper.make_node("DequantizeLinear", half, [f"{out}_half"], name=f"{out}_half"),
        helper.make_node("Add", [f"{out}_sixth", f"{out}_half"], [out], name=node.name),
    ]


def _cut_by_rounding(graph: onnx.GraphProto, node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether all that reads ``node`` quantizes it to 0 and more, and to 1 at most."""
    if not (math.isclose(_float(node, "alpha", 0.2), ALPHA, rel_tol=1e-5) and _float(node, "beta", 0.5) == BETA):
        return False
    readers = [reader for reader in graph.node if node.output[0] in reader.input]
    for reader in readers:
        if reader.op_type != "QuantizeLinear" or len(reader.input) < 3 or not set(reader.input[1:]) <= set(constants):
            return False
        scale, zero = constants[reader.input[1]], constants[reader.input[2]]
        if zero.dtype != np.uint8 or zero.size != 1 or int(zero) != 0 or float(scale) * 255 > 1.0 + CLOSE:
            return False
    return bool(readers)


def _axes(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> list[int]:
    """Sorted, counted from the front; an attribute before opset 18, an input since."""
    given = [list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"]
    if len(node.input) > 1 and node.input[1] in constants:
        given = [[int(axis) for axis in constants[node.input[1]]]]
    return sorted(axis % RANK for axis in given[0]) if given else []


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Of all tensors that ONNX can infer."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def _keeps_axes(node: onnx.NodeProto) -> bool:
    return all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")


def _float(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((float(attribute.f) for attribute in node.attribute if attribute.name == name), default)


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
