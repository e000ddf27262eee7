"""What TensorRT's ONNX parser refuses in a quantized graph, found without TensorRT.

Each rule is a function from a graph to findings. Their source is NVIDIA's parser (github.com/onnx/onnx-tensorrt,
``onnxOpImporters.cpp`` and ``docs/operators.md``) and TensorRT's guide to quantized types; messages in ``says`` are
that parser's. The rules know quantization, not every operator: a graph without findings may still fail to build.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgetune.backends.tensorrt import OLDEST_OPSET, OPSETS, check_version
from edgetune.errors import InputError

ERROR, WARNING = "error", "warning"
INTEGER_OPERATORS = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
EIGHT_BITS_OR_LESS = {TensorProto.INT8, TensorProto.FLOAT8E4M3FN, TensorProto.INT4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one node, or with the whole file (``node`` is then empty)."""

    rule: str
    severity: str  # error: the parser refuses it; warning: the engine will be slow
    node: str
    problem: str
    says: str  # TensorRT's own message, where it is known
    do: str

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A model with its constants at hand."""

    model: onnx.ModelProto
    constants: dict[str, NDArray[Any]]
    types: dict[str, int]  # element type of each constant, as TensorProto names it
    producers: dict[str, onnx.NodeProto]

    def nodes(self, *kinds: str) -> Iterator[onnx.NodeProto]:
        """Nodes of these operators; all without any."""
        return (node for node in self.model.graph.node if not kinds or node.op_type in kinds)


Rule = Callable[[Graph, int], Iterator[Finding]]


def validate(path: Path, version: str) -> list[Finding]:
    """Hold the ONNX file against the rules of a TensorRT version, such as ``10.3``.

    Raises:
        InputError: an unknown version; a file that is missing, not ONNX, or whose weights lie outside its folder.
    """
    opset = OPSETS[check_version(version)]
    graph = _graph(_load(path))
    return [finding for rule in RULES for finding in rule(graph, opset)]


def failed(findings: list[Finding]) -> bool:
    """Whether TensorRT would refuse the file."""
    return any(finding.severity == ERROR for finding in findings)


# --- the rules ------------------------------------------------------------------------------


def opset_within_limits(graph: Graph, newest: int) -> Iterator[Finding]:
    """The parser knows opsets up to a limit."""
    opset = next((entry.version for entry in graph.model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if not OLDEST_OPSET <= opset <= newest:
        yield Finding(
            rule="opset",
            severity=ERROR,
            node="",
            problem=f"the file is of opset {opset}; this version reads {OLDEST_OPSET} to {newest}",
            says="",
            do=f"export with opset {newest}",
        )


def standard_operators_only(graph: Graph, newest: int) -> Iterator[Finding]:
    """Operators of other domains (ONNX Runtime's own) have no importer."""
    for node in graph.nodes():
        if node.domain not in ("", "ai.onnx"):
            yield _of(
                node,
                "domain",
                f"{node.domain}.{node.op_type} is not an ONNX operator",
                "No importer registered for op",
                "export the graph in standard operators; do not save ONNX Runtime's optimised graph",
            )


def no_integer_operators(graph: Graph, newest: int) -> Iterator[Finding]:
    """Integer arithmetic is asked for by Q/DQ pairs, not by integer operators."""
    for node in graph.nodes(*INTEGER_OPERATORS):
        yield _of(
            node,
            "integer-operator",
            f"{node.op_type} is not supported",
            "No importer registered for op",
            "quantize with QuantizeLinear and DequantizeLinear around float operators (QDQ format)",
        )


def eight_bit_inputs(graph: Graph, newest: int) -> Iterator[Finding]:
    """DequantizeLinear takes 8 bits or less; ONNX Runtime's quantizer writes biases as int32."""
    for node in graph.nodes("DequantizeLinear"):
        kind = graph.types.get(node.input[0])
        if kind == TensorProto.INT32:
            yield _of(
                node,
                "int32-bias",
                "dequantizes an int32 tensor, as a quantized bias is",
                "input has type Int32 but must have type FP8, FP4, Int4, or Int8",
                "leave biases in float (onnxruntime: extra_options={'QuantizeBias': False})",
            )


def symmetric_int8(graph: Graph, newest: int) -> Iterator[Finding]:
    """Zero points are int8, constant and zero: TensorRT quantizes symmetrically on the GPU."""
    fix = "quantize activations symmetrically to int8 (onnxruntime: QInt8, extra_options={'ActivationSymmetric': True})"
    for node in graph.nodes(*QUANTIZERS):
        if graph.types.get(node.input[0]) == TensorProto.INT32:
            continue  # told by eight_bit_inputs
        if len(node.input) < 3 or not node.input[2]:
            if node.op_type == "QuantizeLinear" and _attribute(node, "output_dtype") is None:
                yield _of(
                    node, "zero-point", "has no zero point, which means uint8", "", "write an int8 zero point of 0"
                )
            continue
        name = node.input[2]
        if name not in graph.constants:
            yield _of(node, "zero-point", "has a zero point that is computed", "", "make it a constant")
        elif graph.types[name] not in EIGHT_BITS_OR_LESS:
            kind = TensorProto.DataType.Name(graph.types[name]).lower()
            yield _of(
                node,
                "zero-point",
                f"quantizes to {kind}",
                "TensorRT supports QuantizeLinear/DequantizeLinear with UINT8 zero_point only on DLA",
                fix,
            )
        elif np.any(graph.constants[name].astype(np.float32) != 0):
            yield _of(node, "zero-point", "has a zero point other than 0", "Non-zero zero point is not supported.", fix)


def positive_constant_scales(graph: Graph, newest: int) -> Iterator[Finding]:
    """Scales are constants above zero."""
    for node in graph.nodes(*QUANTIZERS):
        scale = graph.constants.get(node.input[1])
        if scale is None:
            yield _of(node, "scale", "has a scale that is computed", "", "make it a constant (fold constants)")
        elif not np.all(scale.astype(np.float32) > 0):
            yield _of(
                node,
                "scale",
                "has a scale that is zero, negative or NaN",
                "Scale coefficients must all be positive",
                "a tensor that is always 0 still needs a scale, any above 0",
            )


def scale_for_each_channel(graph: Graph, newest: int) -> Iterator[Finding]:
    """There are as many scales as channels along the axis, and as many zero points as scales."""
    for node in graph.nodes(*QUANTIZERS):
        scale, data = graph.constants.get(node.input[1]), graph.constants.get(node.input[0])
        if scale is None or scale.size == 1:
            continue
        axis = _attribute(node, "axis")
        channels = _dimension(data, 1 if axis is None else int(axis))
        if channels is not None and scale.ndim == 1 and channels != scale.size:
            yield _of(
                node,
                "scale-length",
                f"has {scale.size} scales for {channels} channels",
                "The number of scales is not equal to the number of output channels.",
                "one scale for each index along the axis, or a single one",
            )
        zero_point = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero_point is not None and zero_point.size != scale.size:
            yield _of(
                node,
                "scale-length",
                f"has {scale.size} scales and {zero_point.size} zero points",
                "The scale and zero point must have the same volume.",
                "one zero point for each scale",
            )


def weights_dequantized_once(graph: Graph, newest: int) -> Iterator[Finding]:
    """A convolution runs in INT8 only if both its inputs come from DequantizeLinear."""
    for node in graph.nodes("Conv", "ConvTranspose", "Gemm", "MatMul"):
        sides = [_dequantized(graph, name) for name in node.input[:2]]
        if any(sides) and not all(sides):
            which = "input" if sides[1] else "weight"
            yield _of(
                node,
                "half-quantized",
                f"its {which} is not quantized, so that it runs in float",
                "",
                f"quantize its {which} too, or neither",
                severity=WARNING,
            )


def fused_residuals(graph: Graph, newest: int) -> Iterator[Finding]:
    """A convolution's own output stays unquantized before the Add it is fused with (TensorRT's Q/DQ placement)."""
    for node in graph.nodes("Add"):
        behind = [_behind_pair(graph, name) for name in node.input[:2]]
        if None not in behind and any(producer is not None and producer.op_type == "Conv" for producer in behind):
            yield _of(
                node,
                "residual",
                "both its inputs are quantized, so that the convolution before it is not fused with the addition",
                "",
                "quantize the residual input only, and leave the convolution's output as it is",
                severity=WARNING,
            )


RULES: tuple[Rule, ...] = (
    opset_within_limits,
    standard_operators_only,
    no_integer_operators,
    eight_bit_inputs,
    symmetric_int8,
    positive_constant_scales,
    scale_for_each_channel,
    weights_dequantized_once,
    fused_residuals,
)


# --- inside ---------------------------------------------------------------------------------


def _of(node: onnx.NodeProto, rule: str, problem: str, says: str, do: str, severity: str = ERROR) -> Finding:
    name = node.name or node.output[0]
    return Finding(rule=rule, severity=severity, node=f"{name} ({node.op_type})", problem=problem, says=says, do=do)


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise InputError(f"there is no file {path}", hint="give the path of an .onnx file")
    try:
        model = onnx.load(path)
    except (DecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} is not an ONNX file, or is cut off", hint="export it again") from problem
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
        types={name: tensor.data_type for name, tensor in tensors.items()},
        producers={output: node for node in model.graph.node for output in node.output},
    )


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)


def _dimension(data: NDArray[Any] | None, axis: int) -> int | None:
    if data is None or not -data.ndim <= axis < data.ndim:
        return None
    return int(data.shape[axis])


def _dequantized(graph: Graph, name: str) -> bool:
    producer = graph.producers.get(name)
    while producer is not None and producer.op_type in ("Transpose", "Reshape", "Identity", "Cast"):
        producer = graph.producers.get(producer.input[0])
    return producer is not None and producer.op_type == "DequantizeLinear"


def _behind_pair(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The node whose output the Q/DQ pair in front of ``name`` quantizes."""
    dequantize = graph.producers.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = graph.producers.get(dequantize.input[0])
    return graph.producers.get(quantize.input[0]) if quantize is not None else None
