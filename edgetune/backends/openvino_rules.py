"""What the installed OpenVINO makes of an ONNX file: does it open, and which quantized layers run in float?

There are no rules here: the library itself is asked. Its compiled model tells the precision each layer runs in, and
which nodes of the file it was made from (``runtimePrecision`` and ``originalLayersNames``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from edgetune_runtime.errors import LibraryError
from edgetune_runtime.session import library

from edgetune.backends.onnx_graph import Graph, dequantized, load_graph
from edgetune.backends.tensorrt_rules import ERROR, WARNING, Finding
from edgetune.errors import InputError

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLOATS = ("f32", "f16", "bf16")


def validate(path: Path) -> list[Finding]:
    """Open the file in the installed OpenVINO.

    Raises:
        InputError: OpenVINO is not installed; a file that is missing or not ONNX.
    """
    graph, wanted = load_graph(path), {"backend": "openvino"}
    try:
        module = library(wanted)
    except LibraryError as problem:
        raise InputError(
            "OpenVINO is not installed, which `--for openvino` asks", hint="pip install openvino"
        ) from problem
    try:
        compiled = module.open_engine(path, wanted, 1).compiled
    except RuntimeError as problem:
        return [
            Finding(
                rule="refused",
                severity=ERROR,
                node="",
                problem=f"{module.TITLE} does not open the file",
                says=" ".join(str(problem).split())[-400:],
                do="export it in standard operators, or build for a target with another backend",
            )
        ]
    return list(_in_float(graph, compiled.get_runtime_model()))


def _in_float(graph: Graph, compiled: Any) -> Iterator[Finding]:
    precision = {}
    for op in compiled.get_ops():
        facts = op.get_rt_info()
        for name in str(facts["originalLayersNames"].value).split(","):
            precision[name] = str(facts["runtimePrecision"].value)
    for node in graph.nodes(*LAYERS):
        ran = next((precision[name] for name in (node.name, *node.output) if name in precision), None)
        if ran in FLOATS and _quantized(graph, node):
            yield Finding(
                rule="in-float",
                severity=WARNING,
                node=f"{node.name or node.output[0]} ({node.op_type})",
                problem=f"runs in {ran}, although its inputs are quantized",
                says="",
                do="give weights symmetric int8 scales, by channel at most, and activations one scale a tensor",
            )


def _quantized(graph: Graph, node: onnx.NodeProto) -> bool:
    return all(dequantized(graph, name) for name in node.input[:2])
