"""Normalisation and layout as a part of the graph, so that the device hands over pixels as a camera gives them.

In front of the network come Cast, Transpose, Mul and Add: the arithmetic of ``edgetune_runtime.preprocessing``, rounded
as there, so that no output changes. It is not folded into the first convolution: that one pads with zeros, which are
the mean's colour only behind the normalisation, and an INT8 network would have to be quantized again.
"""

from itertools import count
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgetune.errors import ExportError


def take_pixels(model: onnx.ModelProto, factor: NDArray[np.float32], offset: NDArray[np.float32]) -> None:
    """Turn the input float32 [N, 3, H, W] into uint8 [N, H, W, 3] of the same name, in place.

    The network gets ``pixels * factor + offset`` (each [3]). The Cast stands directly behind the input: TensorRT takes
    uint8 nowhere else (https://github.com/NVIDIA/TensorRT/issues/3985).

    Raises:
        ExportError: the graph has another input, or subgraphs.
    """
    graph = model.graph
    image = _image(graph)
    batch, _, height, width = image.type.tensor_type.shape.dim
    used = {name for node in graph.node for name in (*node.input, *node.output)} | {t.name for t in graph.initializer}
    cast, moved, scaled, normalised, *constants = (
        _unused(f"{image.name}_{role}", used) for role in ("cast", "nchw", "scaled", "normalised", "factor", "offset")
    )
    for node in graph.node:
        node.input[:] = [normalised if name == image.name else name for name in node.input]
    for name, values in zip(constants, (factor, offset), strict=True):
        graph.initializer.append(numpy_helper.from_array(_in_rows(values, width.dim_value), name))
    front = [
        helper.make_node("Cast", [image.name], [cast], cast, to=TensorProto.FLOAT),
        helper.make_node("Transpose", [cast], [moved], moved, perm=[0, 3, 1, 2]),
        helper.make_node("Mul", [moved, constants[0]], [scaled], scaled),
        helper.make_node("Add", [scaled, constants[1]], [normalised], normalised),
    ]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*front, *graph.node)]
    del graph.node[:]
    graph.node.extend(nodes)
    shape = [batch.dim_param or batch.dim_value or None, height.dim_value, width.dim_value, 3]
    image.CopyFrom(helper.make_tensor_value_info(image.name, TensorProto.UINT8, shape))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        raise ExportError(f"the network cannot be given an input of pixels: {problem}") from problem


def _in_rows(values: NDArray[np.float32], width: int) -> NDArray[Any]:
    """[3] -> [3, 1, W]: ONNX Runtime moves the Transpose behind Mul and Add where a convolution in INT8 follows, and
    is slow at a last axis of 3 alone; with [W, 3] it is not.
    """
    return np.repeat(values.astype(np.float32)[:, None, None], width, axis=2)


def _image(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        raise ExportError("the graph has branches or loops, in front of which nothing can be put")
    constants = {tensor.name for tensor in graph.initializer}
    inputs: list[onnx.ValueInfoProto] = [value for value in graph.input if value.name not in constants]
    if len(inputs) == 1:
        tensor = inputs[0].type.tensor_type
        sizes = [dimension.dim_value for dimension in tensor.shape.dim]
        if tensor.elem_type == TensorProto.FLOAT and len(sizes) == 4 and sizes[1] == 3 and min(sizes[2:]) > 0:
            return inputs[0]
    shown = ", ".join(f"{value.name} {_shown(value)}" for value in inputs) or "none"
    raise ExportError(
        f"pixels can only go to a network with one input float32 [N, 3, H, W]; this one has {shown}",
        hint='write `[bundle] input = "float32-nchw"`',
    )


def _shown(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sizes = ", ".join(str(one.dim_param or one.dim_value or "?") for one in tensor.shape.dim)
    return f"{TensorProto.DataType.Name(tensor.elem_type).lower()} [{sizes}]"


def _unused(name: str, used: set[str]) -> str:
    found = name if name not in used else next(one for n in count(1) if (one := f"{name}_{n}") not in used)
    used.add(found)
    return found
