"""Which of an engine's operators, as its library names them, is which layer of the network.

Libraries fuse operators and rename them: ONNX Runtime calls a convolution after the last output that it took in
(``relu_1_nchwc``), OpenVINO adds what it split off (``node_conv2d_1/WithoutBiases``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "ConvInteger", "MatMulNBits"})
# What libraries fuse into the layer before, or what stands between it and its name in a quantized file.
FOLLOWERS = frozenset(
    {"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu", "BatchNormalization", "Add", "Mul",
     "QuantizeLinear", "Cast"}
)  # fmt: skip
COMPUTES = re.compile(r"conv|gemm|matmul|fullyconnected|innerproduct", re.IGNORECASE)  # kinds of a library's own
ADDED = re.compile(r"(_nchwc|_token_\d+|_quant|_MatMulScaleToFloat)+$")
WEIGHT = ".weight"


def named_layers(told: Iterable[Mapping[str, Any]], engine: Path) -> list[dict[str, Any]]:
    """The operators of ``edgetune_runtime.profile`` with their ``layer``; None: they are no layer.

    A layer is the module that its weight is named after, or else the node of the ONNX file, without ``node_``.
    """
    names = _layer_names(engine) if engine.suffix == ".onnx" else {}
    return [{"layer": _layer(one["node"], names) if COMPUTES.search(one["operator"]) else None, **one} for one in told]


def _layer(node: str, names: Mapping[str, str]) -> str:
    plain = ADDED.sub("", node.partition("/")[0])
    return names.get(plain, plain.removeprefix("node_"))


def _layer_names(engine: Path) -> dict[str, str]:
    """{name of a node or of an output: layer} of every layer and of what may be fused into it."""
    graph = onnx.load(engine, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    by_output: dict[str, str] = {}
    found: dict[str, str] = {}
    for node in graph.node:
        layer = None
        if node.op_type in LAYERS:
            named = [name for name in node.input if name in weights and name.endswith(WEIGHT)]
            layer = named[0].removesuffix(WEIGHT) if named else node.name.removeprefix("node_")
        elif node.op_type in FOLLOWERS:
            layer = next((by_output[name] for name in node.input if name in by_output), None)
        if layer is not None:
            by_output[node.output[0]] = layer
            found |= {node.output[0]: layer, node.name: layer}
    return found
