"""Store quantized weights as int8: the exporter leaves them in float behind a QuantizeLinear."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator


def fold_quantized_weights(model: onnx.ModelProto) -> int:
    """Replace each QuantizeLinear of constants by its result, in place; returns how many."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    folded, nodes = 0, []
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or not all(name in constants for name in node.input):
            nodes.append(node)
            continue
        values = _run(model, node, [numpy_helper.to_array(constants[name]) for name in node.input])
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), node.output[0]))
        folded += 1
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return folded


def _run(model: onnx.ModelProto, node: onnx.NodeProto, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    """The node's output by ONNX's own reference implementation."""
    names = [f"in{number}" for number in range(len(inputs))]
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(names)
    graph = onnx.helper.make_graph(
        [copy],
        "fold",
        [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in zip(names, inputs, strict=True)
        ],
        [onnx.helper.make_empty_tensor_value_info(copy.output[0])],
    )
    single = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    results: Any = ReferenceEvaluator(single).run(None, dict(zip(names, inputs, strict=True)))
    return np.asarray(results[0])


def drop_unused(graph: onnx.GraphProto) -> None:
    """Take out constants that nothing reads, in place."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
