"""What TensorRT's ONNX parser refuses in a quantized graph, or reads otherwise than ONNX, found without TensorRT.

Each rule is a function from a graph and a release to findings. Their source is NVIDIA's parser in its versions for
8.x and 10.x (github.com/onnx/onnx-tensorrt: ``QuantDequantLinearHelper`` in ``builtin_op_importers.cpp``, later
``onnxOpImporters.cpp``, and ``docs/operators.md``) and TensorRT's guide to quantized types. Messages in ``says`` are
its own or were reported by users; a release may word them a little otherwise. The rules know quantization, not every
operator's limits: a graph without findings may still fail to build.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from edgetune.backends.onnx_graph import Graph, attribute, behind_pair, dequantized, load_graph, optional_input
from edgetune.backends.tensorrt_versions import Release, find_release

ERROR, WARNING = "error", "warning"
DLA = "-dla"  # ends a version whose engines are for the deep-learning accelerator
INTEGER_OPERATORS = {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
# "N" in docs/operators.md for 10.15; none of them is supported by an older release either.
UNSUPPORTED_OPERATORS = {
    "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Col2Im",
    "CenterCropPad", "Compress", "ConcatFromSequence", "DFT", "Det", "ImageDecoder", "MaxRoiPool", "MaxUnpool",
    "MelWeightMatrix", "Multinomial", "NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement",
    "OptionalHasElement", "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
    "SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss", "SplitToSequence", "StringConcat",
    "StringNormalizer", "StringSplit", "TfIdfVectorizer", "Unique",
}  # fmt: skip
LATER_OPERATORS = {  # "N" in that page for 8.5, "Y" for 10.15
    "8.5": {"BlackmanWindow", "HammingWindow", "HannWindow", "Hardmax", "IsInf", "LayerNormalization", "STFT"},
}
NO_LONGER = {11: {"DFT"}}  # supported from 11.2 on, by its release notes
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
EIGHT_BITS_OR_LESS = {TensorProto.INT8, TensorProto.FLOAT8E4M3FN, TensorProto.INT4}
FLOATS: dict[int, str] = {TensorProto.FLOAT: "Float", TensorProto.FLOAT16: "Half", TensorProto.BFLOAT16: "BFloat16"}
ELEMENTWISE = {"Add": "SUM", "Sub": "SUB", "Mul": "PROD", "Div": "DIV", "Max": "MAX", "Min": "MIN"}
SAME_TYPES = (*ELEMENTWISE, "Conv", "ConvTranspose", "Gemm", "MatMul", "Concat")
WITHOUT_IMPORTER = "No importer registered for op: {}. Attempting to import as plugin."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one node, or with the whole file (``node`` is then empty)."""

    rule: str
    severity: str  # error: the parser refuses it, or the engine computes something else; warning: it will be slow
    node: str
    problem: str
    says: str  # TensorRT's own message, where it is known
    do: str

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return asdict(self)


Rule = Callable[[Graph, Release], Iterator[Finding]]


def validate(path: Path, version: str) -> list[Finding]:
    """Hold the ONNX file against the rules of a TensorRT version, such as ``10.3``; ``10.3-dla`` adds those of DLA.

    Raises:
        InputError: an unknown version; a file that is missing, not ONNX, or whose weights lie outside its folder.
    """
    release, rules = find_release(version.removesuffix(DLA)), RULES
    if version.endswith(DLA):
        from edgetune.backends import tensorrt_dla  # which is made of what is here

        rules += tensorrt_dla.RULES
    graph = load_graph(path)
    return [finding for rule in rules for finding in rule(graph, release)]


def failed(findings: list[Finding]) -> bool:
    """Whether TensorRT would refuse the file, or compute something else than it says."""
    return any(finding.severity == ERROR for finding in findings)


# --- the rules ------------------------------------------------------------------------------


def opset_within_limits(graph: Graph, release: Release) -> Iterator[Finding]:
    """The parser knows opsets up to a limit."""
    oldest, newest = release.oldest_opset, release.newest_opset
    if not oldest <= graph.opset <= newest:
        yield Finding(
            rule="opset",
            severity=ERROR,
            node="",
            problem=f"the file is of opset {graph.opset}; this version reads {oldest} to {newest}",
            says="",
            do=f"export with opset {newest}",
        )


def standard_operators_only(graph: Graph, release: Release) -> Iterator[Finding]:
    """Operators of other domains (ONNX Runtime's own) have no importer; functions of the file's own do from 10 on."""
    own = graph.functions if release.family >= 10 else set()
    for node in graph.nodes():
        if node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in own:
            yield finding_of(
                node,
                "domain",
                f"{node.domain}.{node.op_type} is not an ONNX operator",
                WITHOUT_IMPORTER.format(node.op_type),
                "export the graph in standard operators; do not save ONNX Runtime's optimised graph",
            )


def no_integer_operators(graph: Graph, release: Release) -> Iterator[Finding]:
    """Integer arithmetic is asked for by Q/DQ pairs, not by integer operators."""
    for node in graph.nodes(*INTEGER_OPERATORS):
        yield finding_of(
            node,
            "integer-operator",
            f"{node.op_type} is not supported",
            WITHOUT_IMPORTER.format(node.op_type),
            "quantize with QuantizeLinear and DequantizeLinear around float operators (QDQ format)",
        )


def supported_operators(graph: Graph, release: Release) -> Iterator[Finding]:
    """Operators for which the parser has no importer."""
    missing = UNSUPPORTED_OPERATORS | LATER_OPERATORS.get(release.name, set())
    missing -= NO_LONGER.get(release.family, set())
    for node in graph.nodes(*missing):
        if node.domain in ("", "ai.onnx"):
            yield finding_of(
                node,
                "operator",
                f"{node.op_type} is not supported",
                WITHOUT_IMPORTER.format(node.op_type),
                "write the layer with other operators, or give TensorRT a plugin of that name",
            )


def eight_bit_inputs(graph: Graph, release: Release) -> Iterator[Finding]:
    """DequantizeLinear takes 8 bits or less; ONNX Runtime's quantizer writes biases as int32."""
    says = "input has type Int32 but must have type FP8, FP4, Int4, or Int8"
    if release.family < 10:
        says = "only activation types allowed as input to this layer."
    for node in graph.nodes("DequantizeLinear"):
        if graph.types.get(node.input[0]) == TensorProto.INT32:
            yield finding_of(
                node,
                "int32-bias",
                "dequantizes an int32 tensor, as a quantized bias is",
                says,
                "leave biases in float (onnxruntime: extra_options={'QuantizeBias': False})",
            )


def symmetric_int8(graph: Graph, release: Release) -> Iterator[Finding]:
    """Zero points are given, int8, constant and zero: TensorRT quantizes symmetrically on the GPU."""
    for node in graph.nodes(*QUANTIZERS):
        if graph.types.get(node.input[0]) == TensorProto.INT32:
            continue  # told by eight_bit_inputs
        name = optional_input(node, 2)
        found = _zero_point_problem(graph, name, release) if name else _without_zero_point(node, release)
        if found is not None:
            yield finding_of(node, "zero-point", *found)


def positive_constant_scales(graph: Graph, release: Release) -> Iterator[Finding]:
    """Scales are constants above zero; 8.x reads their bytes as float32 whatever they are."""
    for node in graph.nodes(*QUANTIZERS):
        name = node.input[1]
        scale = graph.constants.get(name)
        if scale is None:
            yield finding_of(node, "scale", "has a scale that is computed", "", "make it a constant (fold constants)")
        elif not np.all(scale.astype(np.float32) > 0):
            yield finding_of(
                node,
                "scale",
                "has a scale that is zero, negative or NaN",
                "Scale coefficients must all be positive",
                "a tensor that is always 0 still needs a scale, any above 0",
            )
        elif release.family < 10 and graph.types[name] != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(graph.types[name]).lower()
            yield finding_of(
                node, "scale", f"has a scale in {kind}, which this version reads as float32", "", "write it in float32"
            )


def scale_for_each_channel(graph: Graph, release: Release) -> Iterator[Finding]:
    """There are as many scales as channels along the axis, and as many zero points as scales."""
    for node in graph.nodes(*QUANTIZERS):
        scale, data = graph.constants.get(node.input[1]), graph.constants.get(node.input[0])
        if scale is None:
            continue
        axis = attribute(node, "axis")
        dimension = 1 if axis is None else int(axis)
        if scale.ndim == 1 and scale.size > 1 and data is not None and -data.ndim <= dimension < data.ndim:
            channels = int(data.shape[dimension])
            if channels != scale.size:
                yield finding_of(
                    node,
                    "scale-length",
                    f"has {scale.size} scales for {channels} channels",
                    "The number of scales is not equal to the number of output channels.",
                    "one scale for each index along the axis, or a single one",
                )
        zero_point = graph.constants.get(optional_input(node, 2))
        if zero_point is not None and zero_point.size != scale.size:
            yield finding_of(
                node,
                "scale-length",
                f"has {scale.size} scales and {zero_point.size} zero points",
                "The scale and zero point must have the same volume."
                if release.family >= 10
                else "The scale and zero-point must have the same size",
                "one zero point for each scale",
            )


def axis_is_written(graph: Graph, release: Release) -> Iterator[Finding]:
    """Where the axis is left out, ONNX means 1; parsers up to the first of 10.x take 0."""
    for node in graph.nodes(*QUANTIZERS):
        scale = graph.constants.get(node.input[1])
        if scale is not None and scale.size > 1 and attribute(node, "axis") is None:
            yield finding_of(
                node,
                "axis",
                "has a scale for each channel and does not say along which axis",
                "",
                "write the axis attribute",
                severity=ERROR if release.family < 10 else WARNING,
            )


def activations_by_tensor(graph: Graph, release: Release) -> Iterator[Finding]:
    """Scales by channel are for weights (in the parser: "Activations-quantization does not support per-axis")."""
    for node in graph.nodes("QuantizeLinear"):
        scale = graph.constants.get(node.input[1])
        if scale is not None and scale.size > 1 and node.input[0] not in graph.constants:
            yield finding_of(
                node,
                "activation-channels",
                f"quantizes an activation with {scale.size} scales",
                "",
                "one scale for the whole tensor; scales by channel are for weights",
            )


def one_float_type_per_node(graph: Graph, release: Release) -> Iterator[Finding]:
    """Strongly typed networks cast nothing by themselves: what is added or multiplied is of one float type."""
    for node in graph.nodes(*SAME_TYPES):
        kinds = [FLOATS[kind] for name in node.input if (kind := graph.types.get(name, 0)) in FLOATS]
        if release.family < 10 or len(set(kinds)) < 2:
            continue
        first, second = list(dict.fromkeys(kinds))[:2]
        says = ""
        if operation := ELEMENTWISE.get(node.op_type):
            says = (
                f"ElementWiseOperation {operation} must have same input types. "
                f"But they are of types {first} and {second}."
            )
        yield finding_of(
            node, "mixed-types", f"has inputs in {first} and {second}", says, "put a Cast in front of one of them"
        )


def pixels_into_a_cast(graph: Graph, release: Release) -> Iterator[Finding]:
    """An input of uint8 goes straight into a Cast: nothing else takes it (github.com/NVIDIA/TensorRT/issues/3985)."""
    constants = {tensor.name for tensor in graph.model.graph.initializer}
    for value in graph.model.graph.input:
        if value.type.tensor_type.elem_type != TensorProto.UINT8 or value.name in constants:
            continue
        for node in graph.nodes():
            if value.name in node.input and node.op_type != "Cast":
                yield finding_of(
                    node,
                    "uint8-input",
                    f"takes the uint8 input {value.name}, which only Cast can",
                    "",
                    "put a Cast to float directly behind the input",
                )


def weights_dequantized_once(graph: Graph, release: Release) -> Iterator[Finding]:
    """A convolution runs in INT8 only if both its inputs come from DequantizeLinear."""
    for node in graph.nodes("Conv", "ConvTranspose", "Gemm", "MatMul"):
        sides = [dequantized(graph, name) for name in node.input[:2]]
        if any(sides) and not all(sides):
            which = "input" if sides[1] else "weight"
            yield finding_of(
                node,
                "half-quantized",
                f"its {which} is not quantized, so that it runs in float",
                "",
                f"quantize its {which} too, or neither",
                severity=WARNING,
            )


def fused_residuals(graph: Graph, release: Release) -> Iterator[Finding]:
    """A convolution's own output stays unquantized before the Add it is fused with (TensorRT's Q/DQ placement)."""
    for node in graph.nodes("Add"):
        behind = [behind_pair(graph, name) for name in node.input[:2]]
        if None not in behind and any(producer is not None and producer.op_type == "Conv" for producer in behind):
            yield finding_of(
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
    supported_operators,
    eight_bit_inputs,
    symmetric_int8,
    positive_constant_scales,
    scale_for_each_channel,
    axis_is_written,
    activations_by_tensor,
    one_float_type_per_node,
    pixels_into_a_cast,
    weights_dequantized_once,
    fused_residuals,
)


# --- inside ---------------------------------------------------------------------------------


def finding_of(node: onnx.NodeProto, rule: str, problem: str, says: str, do: str, severity: str = ERROR) -> Finding:
    """What is wrong with one node."""
    name = node.name or (node.output[0] if node.output else "")
    return Finding(rule=rule, severity=severity, node=f"{name} ({node.op_type})", problem=problem, says=says, do=do)


def _without_zero_point(node: onnx.NodeProto, release: Release) -> tuple[str, str, str] | None:
    """(problem, says, do); from 10 on TensorRT takes int8 for granted, and ONNX uint8 where it quantizes."""
    do = "write an int8 zero point of 0"
    if release.family < 10:
        says = "This version of TensorRT requires 3 inputs for the DequantizeLinear operator."
        return "has no zero point", says, do
    if node.op_type == "QuantizeLinear" and attribute(node, "output_dtype") is None:
        return "has no zero point, which ONNX reads as uint8 and TensorRT as int8", "", do
    return None


def _zero_point_problem(graph: Graph, name: str, release: Release) -> tuple[str, str, str] | None:
    do = "quantize activations symmetrically to int8 (onnxruntime: QInt8, extra_options={'ActivationSymmetric': True})"
    if name not in graph.constants:
        return "has a zero point that is computed", "", "make it a constant"
    if np.any(graph.constants[name].astype(np.float32) != 0):
        says = "Non-zero zero point is not supported."
        if release.family < 10:
            says = "TRT only supports symmetric quantization - zeroPt must be all zeros"
        return "has a zero point other than 0", says, do
    if graph.types[name] not in EIGHT_BITS_OR_LESS:
        kind = TensorProto.DataType.Name(graph.types[name]).lower()
        says = ""
        if graph.types[name] == TensorProto.UINT8 and release.family >= 10:
            says = "TensorRT supports QuantizeLinear/DequantizeLinear with UINT8 zero_point only on DLA"
        return f"quantizes to {kind}", says, do
    return None
