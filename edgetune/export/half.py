"""float32 ONNX -> float16 inside, for backends that compute in the types the file says (TensorRT's strong typing).

Inputs and outputs stay float32, with a Cast behind and before them. INT8 stays INT8: of a Q/DQ pair only the scale
changes its type, so that what DequantizeLinear gives is float16.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from edgetune.errors import ExportError

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
LARGEST = float(np.finfo(np.float16).max)
LARGEST_FLOAT = np.finfo(np.float32).max  # stands for infinity, in the masks of attention; float16 has its own
SMALLEST_SCALE = float(np.finfo(np.float16).smallest_normal)  # below it a scale loses digits, and in the end is 0
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
# Inputs that ONNX wants in float32 whatever type the node computes in.
FLOAT32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
TYPE_ATTRIBUTES = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "EyeLike": "dtype"}


def to_half(model: onnx.ModelProto) -> None:
    """Convert in place; needs opset 19, the first whose Q/DQ take float16 scales.

    Raises:
        ExportError: a constant beyond float16's range, a graph with subgraphs, or one that does not fit together then.
    """
    graph = model.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise ExportError("the graph has branches or loops, which cannot be converted to float16")
    keep = {
        node.input[position]
        for node in graph.node
        for position in FLOAT32_INPUTS.get(node.op_type, ())
        if position < len(node.input)
    }
    _convert_scales(graph)
    for tensor in graph.initializer:
        if tensor.data_type == FLOAT and tensor.name not in keep:
            tensor.CopyFrom(_half(tensor))
    for node in graph.node:
        if not (node.op_type == "Constant" and node.output[0] in keep):
            _convert_attributes(node)
    del graph.value_info[:]
    _cast_ends(graph)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        raise ExportError(f"the network cannot be converted to float16: {problem}") from problem


def _convert_scales(graph: onnx.GraphProto) -> None:
    """Scales that float16 cannot hold are raised to one it can, and weights behind them rounded to the new one.

    That happens to channels whose weights are all below 0.008; it moves them by less than float16 resolves near 0.06.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        scale = tensors.get(node.input[1]) if node.op_type in QUANTIZERS else None
        if scale is None or scale.data_type != FLOAT:
            continue
        before = numpy_helper.to_array(scale)
        after = np.maximum(before, SMALLEST_SCALE).astype(np.float16).astype(np.float32)
        data = tensors.get(node.input[0])
        if data is not None and data.data_type == TensorProto.INT8 and np.any(before < SMALLEST_SCALE):
            _share_none(graph, node, data, tensors)
            data = tensors[node.input[0]]
            data.CopyFrom(_rescaled(data, np.where(before < SMALLEST_SCALE, before / after, 1.0), _axis(node)))
    used = {node.input[1] for node in graph.node if node.op_type in QUANTIZERS}
    for name in used & set(tensors):
        if tensors[name].data_type == FLOAT:
            values = np.maximum(numpy_helper.to_array(tensors[name]), SMALLEST_SCALE)
            tensors[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def _share_none(
    graph: onnx.GraphProto, node: onnx.NodeProto, data: TensorProto, tensors: dict[str, TensorProto]
) -> None:
    """Give ``node`` a copy of its weight where another node reads it too."""
    if sum(data.name in other.input for other in graph.node) > 1:
        copy = graph.initializer.add()
        copy.CopyFrom(data)
        copy.name = f"{node.output[0]}_own"
        node.input[0] = copy.name
        tensors[copy.name] = copy


def _rescaled(tensor: TensorProto, factor: NDArray[Any], axis: int) -> TensorProto:
    values = numpy_helper.to_array(tensor).astype(np.float64)
    shape = [1] * values.ndim
    if factor.size > 1:
        shape[axis] = factor.size
    rounded = np.clip(np.rint(values * factor.reshape(shape)), -128, 127).astype(np.int8)
    return numpy_helper.from_array(rounded, tensor.name)


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)


def _half(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    values = np.where(np.abs(values) == LARGEST_FLOAT, np.sign(values) * LARGEST, values).astype(values.dtype)
    finite = values[np.isfinite(values)]
    if finite.size and float(np.abs(finite).max()) > LARGEST:
        raise ExportError(
            f"the constant {tensor.name or 'in the graph'} holds {np.abs(finite).max():.3g}; float16 ends at 65504",
            hint="normalise that layer's weights, or leave this target out",
        )
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _convert_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and attribute.t.data_type == FLOAT:
            attribute.t.CopyFrom(_half(attribute.t))
        elif attribute.name == TYPE_ATTRIBUTES.get(node.op_type) and attribute.i == FLOAT:
            attribute.i = HALF
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            tensor = _half(numpy_helper.from_array(np.asarray(values, np.float32)))
            attribute.CopyFrom(helper.make_attribute("value", tensor))


def _cast_ends(graph: onnx.GraphProto) -> None:
    """The graph's own inputs and outputs keep their names and float32."""
    constants = {tensor.name for tensor in graph.initializer}
    first, last = [], []
    for value in graph.input:
        if value.name not in constants and value.type.tensor_type.elem_type == FLOAT:
            _rename(graph, value.name, f"{value.name}_half", outputs=False)
            first.append(
                helper.make_node("Cast", [value.name], [f"{value.name}_half"], f"{value.name}_to_half", to=HALF)
            )
    for value in graph.output:
        if value.type.tensor_type.elem_type == FLOAT:
            _rename(graph, value.name, f"{value.name}_half_out", outputs=True)
            last.append(
                helper.make_node("Cast", [f"{value.name}_half_out"], [value.name], f"{value.name}_to_float", to=FLOAT)
            )
    nodes = [*first, *graph.node, *last]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _rename(graph: onnx.GraphProto, old: str, new: str, *, outputs: bool) -> None:
    for node in graph.node:
        for names in (node.input, node.output) if outputs else (node.input,):
            for position, name in enumerate(names):
                if name == old:
                    names[position] = new
