"""One convolution or linear layer as an ONNX model, in float or in Q/DQ form with 8-bit input and output."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCALE = 0.05  # any: it does not change the time


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """A convolution on an input [1, inputs, height, width]; a linear layer is a 1 x 1 one on a single pixel."""

    inputs: int
    outputs: int
    height: int = 1
    width: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether each input channel has filters of its own."""
        return self.groups > 1 and self.groups == self.inputs

    def resized(self, inputs: int, outputs: int) -> "LayerShape":
        """The same layer with other widths."""
        groups = inputs if self.depthwise else self.groups
        return replace(self, inputs=inputs, outputs=outputs, groups=groups)


def layer_model(shape: LayerShape, *, activation: str | None, opset: int, seed: int = 0) -> onnx.ModelProto:
    """The layer with random weights: input ``x`` of ``sample_size``, output ``y``.

    ``activation`` None gives float32; ``uint8`` or ``int8`` gives DequantizeLinear, Conv, QuantizeLinear with
    per-channel int8 weights and an int32 bias, which ONNX Runtime fuses into one QLinearConv. In a whole network these
    run in channels-last layout without transposing between them; so that it is the same here, input and output are
    channels-last and the model's own Transposes cancel out.
    """
    rng = np.random.default_rng(seed)
    weight = rng.integers(
        -127, 127, (shape.outputs, shape.inputs // shape.groups, *shape.kernel), dtype=np.int8, endpoint=True
    )
    convolution = helper.make_node(
        "Conv",
        ["xf", "w", "b"],
        ["yf"],
        group=shape.groups,
        strides=shape.stride,
        dilations=shape.dilation,
        pads=[*shape.padding, *shape.padding],
    )
    if activation is None:
        convolution.input[0], convolution.output[0] = "x", "y"
        constants = {"w": SCALE * weight.astype(np.float32), "b": np.zeros(shape.outputs, np.float32)}
        return _model([convolution], constants, TensorProto.FLOAT, sample_size(shape, activation), opset)
    kind: np.dtype[Any] = np.dtype(activation)
    zero_point = 128 if activation == "uint8" else 0
    quantized: dict[str, Any] = {
        "s": np.float32(SCALE),
        "z": np.asarray(zero_point, kind),
        "wq": weight,
        "ws": np.full(shape.outputs, SCALE, np.float32),
        "wz": np.zeros(shape.outputs, np.int8),
        "bq": np.zeros(shape.outputs, np.int32),
        "bs": np.full(shape.outputs, SCALE * SCALE, np.float32),
        "bz": np.zeros(shape.outputs, np.int32),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["xt"], perm=(0, 3, 1, 2)),
        helper.make_node("DequantizeLinear", ["xt", "s", "z"], ["xf"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["bq", "bs", "bz"], ["b"], axis=0),
        convolution,
        helper.make_node("QuantizeLinear", ["yf", "s", "z"], ["yt"]),
        helper.make_node("Transpose", ["yt"], ["y"], perm=(0, 2, 3, 1)),
    ]
    element = TensorProto.UINT8 if activation == "uint8" else TensorProto.INT8
    return _model(nodes, quantized, element, sample_size(shape, activation), opset)


def sample_size(shape: LayerShape, activation: str | None) -> tuple[int, int, int, int]:
    """Size of the model's input: [1, C, H, W] in float, [1, H, W, C] quantized."""
    if activation is None:
        return 1, shape.inputs, shape.height, shape.width
    return 1, shape.height, shape.width, shape.inputs


def _model(
    nodes: list[onnx.NodeProto], constants: Mapping[str, Any], element: int, size: tuple[int, ...], opset: int
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", element, size)],
        [helper.make_tensor_value_info("y", element, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
