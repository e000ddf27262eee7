"""What NVIDIA's deep-learning accelerator (DLA) does not take of a graph, so that the GPU runs it.

Source: "DLA Supported Layers and Restrictions" and "Working with DLA" in TensorRT's documentation
(docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/dla-layer-restrictions.html); that it has no explicit
quantization: developer.nvidia.com/zh-cn/blog/tensorrt-deep-learning-accelerator-cn. The layers' own limits (kernel
sizes, padding, ranks) are not looked at: what the builder says counts, and is listed after a build.
"""

from collections.abc import Iterator

from edgetune.backends.onnx_graph import Graph
from edgetune.backends.tensorrt_rules import ERROR, QUANTIZERS, WARNING, Finding, Rule, finding_of
from edgetune.backends.tensorrt_versions import WITH_DLA, Release

LARGEST = 8192  # of a dimension, batches apart
# As layers of TensorRT: activation, comparison, concatenation, convolution, deconvolution, elementwise, LRN, parametric
# ReLU, pooling, reduce, resize, scale, shuffle, slice, softmax, unary. Constants and identities are no layers that run.
LAYERS = {
    "Abs", "Add", "Atan", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Cos", "Div",
    "Equal", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Greater", "LRN", "LeakyRelu", "Less", "Max", "MaxPool",
    "Min", "Mul", "PRelu", "Pow", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid", "Sin",
    "Slice", "Softmax", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Constant", "Identity",
}  # fmt: skip


def release_has_dla(graph: Graph, release: Release) -> Iterator[Finding]:
    """Not every release runs on DLA."""
    if release.name not in WITH_DLA:
        yield Finding(
            rule="dla-release",
            severity=ERROR,
            node="",
            problem=f"TensorRT {release.name} does not run on DLA",
            says="",
            do="build for the GPU; of 10.x those up to 10.7 do, and 11.4 does on AGX Orin under JetPack 7.2.2",
        )


def fixed_small_dimensions(graph: Graph, release: Release) -> Iterator[Finding]:
    """Dimensions besides the batch are numbers, up to a limit."""
    for value in graph.model.graph.input:
        for dimension in value.type.tensor_type.shape.dim[1:]:
            if not 0 < dimension.dim_value <= LARGEST:
                found = dimension.dim_value or dimension.dim_param or "a free one"
                yield Finding(
                    rule="dla-dimension",
                    severity=ERROR,
                    node=value.name,
                    problem=f"has a dimension of {found}, and DLA takes fixed ones up to {LARGEST}",
                    says="",
                    do="export with the sizes that the device is given, or build for the GPU",
                )


def no_explicit_quantization(graph: Graph, release: Release) -> Iterator[Finding]:
    """DLA knows INT8 by calibration only, which TensorRT 11 has no more."""
    for node in graph.nodes(*QUANTIZERS):
        yield finding_of(
            node,
            "dla-quantized",
            "DLA takes no explicit quantization, so that the GPU runs it and what it feeds",
            "",
            "give DLA the float16 file",
            severity=WARNING,
        )


def layers_of_dla(graph: Graph, release: Release) -> Iterator[Finding]:
    """Operators that are none of DLA's layers fall back to the GPU, one by one."""
    for node in graph.nodes():
        if node.op_type not in LAYERS and node.op_type not in QUANTIZERS:
            yield finding_of(
                node, "dla-operator", f"{node.op_type} is no layer of DLA, so that the GPU runs it", "",
                "expect a change of processor there", severity=WARNING,
            )  # fmt: skip


RULES: tuple[Rule, ...] = (release_has_dla, fixed_small_dimensions, no_explicit_quantization, layers_of_dla)
