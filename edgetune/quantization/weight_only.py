"""Weights alone in 8 or 4 bits, all arithmetic in float: small files of networks that 8-bit activations would hurt.

``int8``: a step for each output channel, in ONNX's own operators, which any backend reads. ``int4``: matrix products by
ONNX Runtime's MatMulNBits, a step and a zero point for each block of 32 weights (Dettmers and Zettlemoyer 2023, "The
case for 4-bit precision": blocks are what makes 4 bits work); tables and what is no such product have int8.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgetune.errors import QuantizationError

BLOCK = 32  # weights that share a step and a zero point, of int4
COMPUTE_IN_INT8 = (
    4  # MatMulNBits' accuracy level at which it multiplies by int8 dot products; the others unpack to float
)
LEAST = 1024  # values; smaller tensors are not worth their steps
WEIGHT_AXIS = {"Conv": 0, "MatMul": 1, "Gemm": 1}  # of the output channels; Gemm's is 0 where it is transposed


def store_weights(source: Path, path: Path, kind: str) -> None:
    """Write the ONNX file ``source`` with weights of ``kind`` ("int8" or "int4") to ``path``; always the same bytes.

    Raises:
        QuantizationError: no weight that ``kind`` can hold, or ONNX Runtime's quantizer refuses the graph.
    """
    model = onnx.load(source)
    if kind == "int4":
        model = _matrices_in_int4(model)
    if _in_int8(model) == 0 and kind == "int8":
        raise QuantizationError("the network has no weight to store in 8 bits", hint="set `[quantize] weights = []`")
    del model.graph.value_info[:]
    path.write_bytes(model.SerializeToString(deterministic=True))


def _matrices_in_int4(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        with _quiet():
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

            quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=BLOCK, accuracy_level=COMPUTE_IN_INT8)
            quantizer.process()
        made: onnx.ModelProto = quantizer.model.model
    except Exception as problem:  # the quantizer raises many unrelated types
        raise QuantizationError(
            f"the network's weights cannot be stored in 4 bits: {type(problem).__name__}: {problem}",
            hint='leave "int4" out of `[quantize] weights`',
        ) from problem
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise QuantizationError(
            "the network has no matrix product with constant weights to store in 4 bits",
            hint='leave "int4" out of `[quantize] weights`: it is for transformers',
        )
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer, which sets the root logger up when it is imported and tells of every node, to itself."""
    root, own = logging.getLogger(), logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    handlers, level, before = list(root.handlers), root.level, own.level
    own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.setLevel(before)
        root.handlers[:] = handlers
        root.setLevel(level)


def _in_int8(model: onnx.ModelProto) -> int:
    """Store weights and tables as int8, in place; returns how many."""
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer if _worth_it(tensor)}
    nodes: list[onnx.NodeProto] = []
    stored: dict[tuple[str, int], str] = {}
    for node in graph.node:
        if node.op_type in WEIGHT_AXIS and node.input[1] in tensors:
            tensor, axis = tensors[node.input[1]], _output_axis(node)
            key = tensor.name, axis
            if key not in stored:
                stored[key] = f"{tensor.name}_of_int8_{axis}"
                nodes.append(_dequantize(graph, tensor, axis, stored[key]))
            node.input[1] = stored[key]
        elif node.op_type == "Gather" and node.input[0] in tensors and _axis(node) == 0:
            stored.setdefault((tensors[node.input[0]].name, -1), "")
            nodes += _gather(graph, node, tensors[node.input[0]])
            continue
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return len(stored)


def _worth_it(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2 and int(np.prod(tensor.dims)) >= LEAST


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _output_axis(node: onnx.NodeProto) -> int:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else WEIGHT_AXIS[node.op_type]


def _rounded(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(integers, a step for each index of ``axis``)."""
    others = tuple(other for other in range(values.ndim) if other != axis)
    steps = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, 1e-8).astype(np.float32)
    return np.clip(np.rint(values / steps), -127, 127).astype(np.int8), steps.reshape(-1)


def _dequantize(graph: onnx.GraphProto, tensor: onnx.TensorProto, axis: int, name: str) -> onnx.NodeProto:
    integers, steps = _rounded(numpy_helper.to_array(tensor), axis)
    graph.initializer.append(numpy_helper.from_array(integers, f"{name}_values"))
    graph.initializer.append(numpy_helper.from_array(steps, f"{name}_steps"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(len(steps), np.int8), f"{name}_zeros"))
    inputs = [f"{name}_values", f"{name}_steps", f"{name}_zeros"]
    return helper.make_node("DequantizeLinear", inputs, [name], name=f"{name}_dequantize", axis=axis)


def _gather(graph: onnx.GraphProto, node: onnx.NodeProto, table: onnx.TensorProto) -> list[onnx.NodeProto]:
    """Look up int8 rows and their steps, then multiply: a whole table would be turned to float every time."""
    integers, steps = _rounded(numpy_helper.to_array(table), 0)
    name, names = f"{table.name}_of_int8", {tensor.name for tensor in graph.initializer}
    if f"{name}_values" not in names:
        by_row: Any = steps.reshape(-1, *[1] * (integers.ndim - 1))
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_values"))
        graph.initializer.append(numpy_helper.from_array(by_row, f"{name}_steps"))
    out = node.output[0]
    return [
        helper.make_node("Gather", [f"{name}_values", node.input[1]], [f"{out}_int8"], name=f"{out}_rows"),
        helper.make_node("Gather", [f"{name}_steps", node.input[1]], [f"{out}_step"], name=f"{out}_steps"),
        helper.make_node("Cast", [f"{out}_int8"], [f"{out}_float"], name=f"{out}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{out}_float", f"{out}_step"], [out], name=f"{out}_scaled"),
    ]
