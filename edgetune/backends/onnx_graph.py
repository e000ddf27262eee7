"""Anybody's ONNX file, read for inspection: nodes, constants, and what comes before what."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from edgetune.errors import InputError

MOVING = ("Transpose", "Reshape", "Identity", "Cast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A model with its constants at hand."""

    model: onnx.ModelProto
    constants: dict[str, NDArray[Any]]
    types: dict[str, int]  # element type as TensorProto names it: of constants, and of what ONNX can infer
    producers: dict[str, onnx.NodeProto]

    def nodes(self, *kinds: str) -> Iterator[onnx.NodeProto]:
        """Nodes of these operators; all without any."""
        return (node for node in self.model.graph.node if not kinds or node.op_type in kinds)

    @property
    def opset(self) -> int:
        """Of the standard operators; 0: the file does not say."""
        return next((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), 0)

    @property
    def functions(self) -> set[tuple[str, str]]:
        """(domain, operator) of the functions the file itself defines."""
        return {(function.domain, function.name) for function in self.model.functions}


def load_graph(path: Path) -> Graph:
    """Read a file with its weights.

    Raises:
        InputError: it is missing, not ONNX, or its weights are missing or lie outside its folder.
    """
    model = _load(path)
    try:
        return _graph(model)
    except (ValueError, TypeError, KeyError) as problem:  # a tensor whose bytes are not those of its type and shape
        raise InputError(
            f"{path} holds a constant that cannot be read: {str(problem).splitlines()[0]}", hint="export it again"
        ) from problem


def written_with(path: Path) -> tuple[int, int]:
    """The opset of the standard operators and the version of the file format (IR); no weights are read."""
    model = onnx.load(str(path), load_external_data=False)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return opset, model.ir_version


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """The value of a node's attribute; None: it is not there."""
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def optional_input(node: onnx.NodeProto, position: int) -> str:
    """The name of an input that may be left out; empty: it is."""
    return str(node.input[position]) if position < len(node.input) else ""


def dequantized(graph: Graph, name: str) -> bool:
    """Whether a tensor comes from a DequantizeLinear, perhaps moved about since."""
    producer = graph.producers.get(name)
    while producer is not None and producer.op_type in MOVING:
        producer = graph.producers.get(producer.input[0])
    return producer is not None and producer.op_type == "DequantizeLinear"


def behind_pair(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The node whose output the Q/DQ pair in front of ``name`` quantizes."""
    dequantize = graph.producers.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = graph.producers.get(dequantize.input[0])
    return graph.producers.get(quantize.input[0]) if quantize is not None else None


def _load(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="give the path of an .onnx file")
    if not path.is_file():
        raise InputError(f"there is no file {path}", hint="give the path of an .onnx file")
    try:
        model = onnx.load(path)
    except (DecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} is not an ONNX file, or is cut off", hint="export it again") from problem
    except PermissionError as problem:
        raise InputError(f"cannot read {path}: {problem.strerror}") from problem
    except (OSError, onnx.checker.ValidationError, ValueError) as problem:
        raise InputError(
            f"the weights of {path} cannot be read: {str(problem).splitlines()[0]}",
            hint="external data must lie beside the .onnx file, under the names it was saved with",
        ) from problem
    if not model.graph.node:
        raise InputError(f"{path} holds no graph, or is not an ONNX file")
    return model


def _graph(model: onnx.ModelProto) -> Graph:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if value is not None:
                tensors[node.output[0]] = value
    return Graph(
        model=model,
        constants={name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()},
        types=_inferred_types(model) | {name: tensor.data_type for name, tensor in tensors.items()},
        producers={output: node for node in model.graph.node for output in node.output},
    )


def _inferred_types(model: onnx.ModelProto) -> dict[str, int]:
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):  # foreign operators; more than 2 GB
        graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values if value.type.HasField("tensor_type")}
