"""What a scheme of rounding does to a float ONNX file, told by a file of its own to hold the real one against.

Weights are rounded and stay float, and so are the activations in front of matrix products where the scheme rounds them
as they come. It shares no code with what quantizes, so that a mistake there is seen.
"""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WEIGHT_AXIS = {"Conv": 0, "MatMul": 1, "Gemm": 1, "Gather": 0}  # of output channels, or of a table's rows
PRODUCTS = ("MatMul", "Gemm")

Weight = NDArray[np.float32]
Round = Callable[[Weight, int, str], Weight]  # (values, axis of the output channels, operator) -> rounded values


def write_rounded(source: Path, path: Path, rounding: Round, *, activations: bool, kept: Collection[str] = ()) -> None:
    """Write ``source`` with all its constant weights and tables rounded to ``path``.

    Args:
        activations: whether inputs of matrix products with a constant weight go through uint8 and back, with a range
            found in each inference.
        kept: names of nodes that are left as they are.
    """
    model = onnx.load(source)
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) >= 2}
    made: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        place = 0 if node.op_type == "Gather" else 1
        if node.op_type in WEIGHT_AXIS and node.input[place] in tensors and node.name not in kept:
            tensor, axis = tensors[node.input[place]], _output_axis(node)
            name = f"{tensor.name}_rounded_{axis}"
            if name not in made:
                values = rounding(numpy_helper.to_array(tensor), axis, node.op_type)
                graph.initializer.append(numpy_helper.from_array(values, name))
                made.add(name)
            node.input[place] = name
            if activations and node.op_type in PRODUCTS:
                nodes += _there_and_back(node, made)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    path.write_bytes(model.SerializeToString())


def _output_axis(node: onnx.NodeProto) -> int:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else WEIGHT_AXIS[node.op_type]


def _there_and_back(node: onnx.NodeProto, made: set[str]) -> list[onnx.NodeProto]:
    """Let ``node`` read its first input rounded to 8 bits; nodes that do so, if none before did."""
    name = node.input[0]
    node.input[0] = f"{name}_back"
    if f"{name}_back" in made:
        return []
    made.add(f"{name}_back")
    parts = [f"{name}_uint8", f"{name}_scale", f"{name}_zero"]
    return [
        helper.make_node("DynamicQuantizeLinear", [name], parts, f"{name}_quantize"),
        helper.make_node("DequantizeLinear", parts, [f"{name}_back"], f"{name}_dequantize"),
    ]


def symmetric(largest: int, *, per_channel: bool) -> Round:
    """Integers from -``largest`` to ``largest``; tables have one step where ``per_channel`` is not set."""

    def rounded(values: Weight, axis: int, operator: str) -> Weight:
        others = tuple(other for other in range(values.ndim) if other != axis) if per_channel else None
        steps = np.maximum(np.abs(values).max(axis=others, keepdims=True) / largest, 1e-8)
        return np.asarray(np.clip(np.rint(values / steps), -largest, largest) * steps, np.float32)

    return rounded


def in_blocks(size: int, *, otherwise: Round) -> Round:
    """Matrix products in 4 bits, with a step and a zero point for each ``size`` inputs; ``otherwise`` the rest."""

    def rounded(values: Weight, axis: int, operator: str) -> Weight:
        if operator != "MatMul" or values.ndim != 2:
            return otherwise(values, axis, operator)
        parts = [values[start : start + size] for start in range(0, len(values), size)]
        return np.concatenate([_in_4_bits(part) for part in parts])

    return rounded


def _in_4_bits(block: Weight) -> Weight:
    """Of each column [K, N] with integers from 0 to 15."""
    low, high = np.minimum(block.min(0), 0.0), np.maximum(block.max(0), 0.0)
    steps = np.maximum((high - low) / 15, 1e-8)
    zero = np.rint(-low / steps)
    return np.asarray((np.clip(np.rint(block / steps) + zero, 0, 15) - zero) * steps, np.float32)
