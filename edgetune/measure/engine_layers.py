"""Which of an engine's operators, as its library names them, is which layer of the network.

Libraries fuse operators and rename them: ONNX Runtime calls a convolution after the last output that it took in
(``relu_1_nchwc``), OpenVINO adds what it split off (``node_conv2d_1/WithoutBiases``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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
WEIGHT, BIAS = ".weight", ".bias"
FUSED = "fused "  # what ONNX Runtime puts before the name of a product with its activation


def named_layers(told: Iterable[Mapping[str, Any]], engine: Path) -> list[dict[str, Any]]:
    """The operators of ``edgetune_runtime.profile`` with their ``layer``; None: they are no layer.

    A layer is the module that its weight or bias is named after, or else the node of the ONNX file, without ``node_``.
    """
    names = _layer_names(engine) if engine.suffix == ".onnx" else {}
    return [{"layer": _layer(one["node"], names) if COMPUTES.search(one["operator"]) else None, **one} for one in told]


def _layer(node: str, names: Mapping[str, str]) -> str:
    plain = ADDED.sub("", node.partition("/")[0].removeprefix(FUSED))
    return names.get(plain, plain.removeprefix("node_"))


def _layer_names(engine: Path) -> dict[str, str]:
    """{name of a node or of an output: layer} of every layer and of what may be fused into it."""
    graph = onnx.load(engine, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    by_output: dict[str, int] = {}
    names: list[str | None] = []  # of the layers; None: no weight or bias tells the module
    found: dict[str, int] = {}
    nodes: list[str] = []
    for node in graph.node:
        layer = next((by_output[name] for name in node.input if name in by_output), None)
        if node.op_type in LAYERS:
            layer = len(names)
            names.append(_module(node.input, constants, WEIGHT))
            nodes.append(node.name.removeprefix("node_"))
        elif node.op_type not in FOLLOWERS or layer is None:
            continue
        elif names[layer] is None and node.op_type == "Add":  # a linear layer whose weight was transposed or quantized
            names[layer] = _module(node.input, constants, BIAS)
        by_output[node.output[0]] = layer
        found |= {node.output[0]: layer, node.name: layer}
    return {key: names[layer] or nodes[layer] for key, layer in found.items()}


def _module(inputs: Iterable[str], constants: Collection[str], ending: str) -> str | None:
    """The module that one of the constants is named after."""
    return next((name.removesuffix(ending) for name in inputs if name in constants and name.endswith(ending)), None)
