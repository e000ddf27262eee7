"""Every rule passes a good graph and fails a bad one; real quantizers' files fail and ours pass."""

import json

import numpy as np
import onnx
import onnxruntime.quantization as ortq
import pytest
import torch
from edgetune_runtime.preprocessing import Preprocessing
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgetune.backends.tensorrt_rules import RULES, UNSUPPORTED_OPERATORS, failed, validate
from edgetune.data.preprocessing import make_preprocessing
from edgetune.errors import InputError
from edgetune.export.half import to_half
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.export.pixels import take_pixels
from edgetune.models.zoo import make_network
from edgetune.quantization.quantize import quantize
from edgetune.target import all_targets, load_target


def q_dq(name, source, *, scale=0.1, zero_point=0, kind=np.int8, axis=None):
    """Nodes and constants of one Q/DQ pair behind ``source``; its output is ``name``."""
    scale, zero_point = np.asarray(scale, np.float32), np.asarray(zero_point, kind)
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node(
            "QuantizeLinear", [source, f"{name}_s", f"{name}_z"], [f"{name}_q"], f"{name}_Q", **attributes
        ),
        helper.make_node(
            "DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], [name], f"{name}_DQ", **attributes
        ),
    ]
    return nodes, {f"{name}_s": scale, f"{name}_z": zero_point}


def weight(name="w", shape=(4, 3, 1, 1), scales=4, zero_points=None, axis=0):
    """A DequantizeLinear of a constant int8 weight."""
    constants = {
        f"{name}_i": np.ones(shape, np.int8),
        f"{name}_s": np.full(scales, 0.1, np.float32),
        f"{name}_z": np.zeros(zero_points or scales, np.int8),
    }
    return [
        helper.make_node("DequantizeLinear", [f"{name}_i", f"{name}_s", f"{name}_z"], [name], f"{name}_DQ", axis=axis)
    ], constants


def model(parts, extra=(), opset=20):
    nodes = [node for part, _ in parts for node in part] + list(extra)
    constants = {name: value for _, part in parts for name, value in part.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def conv(x="x", w="w", y="y", *more):
    return helper.make_node("Conv", [x, w, *more], [y], f"{y}_conv")


GOOD = [q_dq("x", "image"), weight()]


def rules_broken(tmp_path, made, version="10.3"):
    onnx.save(made, tmp_path / "m.onnx")
    return {finding.rule for finding in validate(tmp_path / "m.onnx", version)}


def test_a_good_graph_passes_every_rule(tmp_path):
    assert rules_broken(tmp_path, model(GOOD, [conv()])) == set()


def computed_scale():
    pair, constants = q_dq("x", "image")
    constants.pop("x_s")
    made = helper.make_node("ReduceMax", ["image"], ["x_s"], keepdims=0)
    return model([([made, *pair], constants), weight()], [conv()])


def without_zero_point():
    nodes, constants = q_dq("x", "image")
    nodes[0].input.pop()
    return model([(nodes, constants), weight()], [conv()])


def int32_bias():
    constants = {"b_i": np.zeros(4, np.int32), "b_s": np.full(4, 0.01, np.float32), "b_z": np.zeros(4, np.int32)}
    bias = [helper.make_node("DequantizeLinear", ["b_i", "b_s", "b_z"], ["b"], "b_DQ", axis=0)]
    return model([*GOOD, (bias, constants)], [conv("x", "w", "y", "b")])


def mixed_types():
    constants = {"h": np.ones((1, 3, 8, 8), np.float16)}
    return model([([], constants)], [helper.make_node("Sub", ["image", "h"], ["y"], "minus")])


def per_channel_activation():
    pair = q_dq("x", "image", scale=[0.1] * 3, zero_point=[0] * 3, axis=1)
    return model([pair, weight()], [conv()])


def axis_left_out():
    nodes, constants = weight(shape=(4, 4, 1, 1))
    del nodes[0].attribute[:]
    return model([GOOD[0], (nodes, constants)], [conv()], opset=17)


def half_scale(kind=np.float16):
    nodes, constants = q_dq("x", "image")
    return model([(nodes, constants | {"x_s": np.asarray(0.1, kind)}), weight()], [conv()], opset=17)


def residual(both):
    """Two convolutions and their sum; ``both``: the last convolution's output is quantized too."""
    convs = [conv("x", "w", "left"), conv("x", "w2", "right")], {}
    parts = [*GOOD, weight("w2"), convs, q_dq("a", "left"), *([q_dq("c", "right")] if both else [])]
    return model(parts, [helper.make_node("Add", ["a", "c" if both else "right"], ["y"], "sum")])


def pixels_moved_first():
    made = model(GOOD, [conv()])
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 8, 8, 3]))
    front = [
        helper.make_node("Transpose", ["pixels"], ["moved"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["moved"], ["image"], to=TensorProto.FLOAT),
    ]
    nodes = [*front, *(onnx.NodeProto.FromString(node.SerializeToString()) for node in made.graph.node)]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


BAD = {
    "opset": (lambda: model(GOOD, [conv()], opset=20), "8.6"),
    "domain": (lambda: model(GOOD, [helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")]), "10.3"),
    "integer-operator": (lambda: model(GOOD, [helper.make_node("ConvInteger", ["x_q", "w_i"], ["y"])]), "10.3"),
    "operator": (lambda: model(GOOD, [helper.make_node("Det", ["x"], ["y"])]), "10.3"),
    "int32-bias": (int32_bias, "10.3"),
    "axis": (axis_left_out, "8.5"),
    "activation-channels": (per_channel_activation, "10.3"),
    "mixed-types": (mixed_types, "10.3"),
    "zero-point": (lambda: model([q_dq("x", "image", zero_point=3), weight()], [conv()]), "10.3"),
    "scale": (lambda: model([q_dq("x", "image", scale=0.0), weight()], [conv()]), "10.3"),
    "scale-length": (lambda: model([GOOD[0], weight(scales=3)], [conv()]), "10.3"),
    "uint8-input": (pixels_moved_first, "10.3"),
    "half-quantized": (lambda: model(GOOD, [conv("image")]), "10.3"),
    "residual": (lambda: residual(both=True), "10.3"),
}


@pytest.mark.parametrize("rule", BAD)
def test_each_rule_finds_what_it_is_for(tmp_path, rule):
    make, version = BAD[rule]
    assert rules_broken(tmp_path, make(), version) == {rule}


def test_every_rule_has_a_failing_graph():
    assert len(BAD) == len(RULES)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (model([q_dq("x", "image", kind=np.uint8), weight()], [conv()]), "zero-point"),
        (without_zero_point(), "zero-point"),
        (computed_scale(), "scale"),
        (model([q_dq("x", "image", scale=float("nan")), weight()], [conv()]), "scale"),
        (model([GOOD[0], weight(zero_points=3)], [conv()]), "scale-length"),
    ],
)
def test_other_ways_to_break_a_rule(tmp_path, made, rule):
    assert rules_broken(tmp_path, made) == {rule}


def test_a_residual_quantized_on_one_side_is_fine(tmp_path):
    assert rules_broken(tmp_path, residual(both=False)) == set()


SAYS = {
    ("int32-bias", "8.5"): (int32_bias, "only activation types allowed as input to this layer."),
    ("int32-bias", "10.3"): (int32_bias, "must have type FP8, FP4, Int4, or Int8"),
    ("zero-point", "8.6"): (lambda: model([q_dq("x", "image", zero_point=3)], opset=17), "zeroPt must be all zeros"),
    ("zero-point", "10.3"): (lambda: model([q_dq("x", "image", zero_point=3)]), "Non-zero zero point"),
    ("zero-point", "8.5"): (without_zero_point, "requires 3 inputs"),
    ("scale-length", "8.5"): (lambda: model([weight(zero_points=3)], opset=17), "zero-point must have the same size"),
    ("scale-length", "11.0"): (lambda: model([weight(zero_points=3)]), "must have the same volume"),
    ("integer-operator", "10.0"): (BAD["integer-operator"][0], "No importer registered for op: ConvInteger."),
    ("mixed-types", "11.2"): (mixed_types, "ElementWiseOperation SUB must have same input types. But they are of"),
}


@pytest.mark.parametrize(("rule", "version"), SAYS)
def test_each_family_says_it_in_its_own_words(tmp_path, rule, version):
    make, says = SAYS[rule, version]
    onnx.save(make(), tmp_path / "m.onnx")
    (message,) = {item.says for item in validate(tmp_path / "m.onnx", version) if item.rule == rule}
    assert says in message


def test_what_only_some_releases_refuse(tmp_path):
    assert rules_broken(tmp_path, half_scale(), "8.6") == {"scale"}  # 8.x reads the bytes of any scale as float32
    assert rules_broken(tmp_path, half_scale(), "10.3") == set()
    assert rules_broken(tmp_path, mixed_types(), "8.5") == {"opset"}  # there types are chosen, not taken
    onnx.save(axis_left_out(), tmp_path / "m.onnx")
    assert {f.severity for f in validate(tmp_path / "m.onnx", "10.3") if f.rule == "axis"} == {"warning"}
    norm = model([q_dq("x", "image")], [helper.make_node("LayerNormalization", ["x", "x_s"], ["y"])], opset=17)
    assert rules_broken(tmp_path, norm, "8.5") == {"operator"} and rules_broken(tmp_path, norm, "8.6") == set()
    fourier = model([q_dq("x", "image")], [helper.make_node("DFT", ["x"], ["y"])], opset=17)
    assert rules_broken(tmp_path, fourier, "10.16") == {"operator"} and rules_broken(tmp_path, fourier, "11.2") == set()


def test_without_a_zero_point_weights_are_int8_from_10_on(tmp_path):
    nodes, constants = weight()
    nodes[0].input.pop()
    made = model([GOOD[0], (nodes, constants)], [conv()], opset=17)
    assert rules_broken(tmp_path, made, "10.3") == set() and rules_broken(tmp_path, made, "8.6") == {"zero-point"}


def test_a_float_network_of_an_old_opset_is_read(tmp_path):
    made = model([([], {})], [helper.make_node("Relu", ["image"], ["y"])], opset=11)
    assert rules_broken(tmp_path, made, "10.3") == set() == rules_broken(tmp_path, made, "8.5")


def test_functions_of_the_file_are_no_foreign_operators_from_10_on(tmp_path):
    opset = helper.make_opsetid("", 17)
    body = [helper.make_node("Relu", ["a"], ["b"])]
    made = model([([], {})], [helper.make_node("Mine", ["image"], ["y"], domain="own")], opset=17)
    made.functions.append(helper.make_function("own", "Mine", ["a"], ["b"], body, [opset]))
    assert rules_broken(tmp_path, made, "10.3") == set() and rules_broken(tmp_path, made, "8.6") == {"domain"}


def test_the_operators_without_importer_are_operators():
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert known >= UNSUPPORTED_OPERATORS


@given(zero_point=st.integers(-128, 127), scale=st.floats(-1, 1, allow_subnormal=False, width=32))
def test_zero_points_and_scales_of_any_value(tmp_path_factory, zero_point, scale):
    made = model([q_dq("x", "image", zero_point=zero_point, scale=scale), weight()], [conv()])
    broken = rules_broken(tmp_path_factory.mktemp("m"), made)
    assert ("zero-point" in broken) == (zero_point != 0) and ("scale" in broken) == (scale <= 0)


class Images(ortq.CalibrationDataReader):
    """Two random pictures for ONNX Runtime's quantizer."""

    def __init__(self, name):
        rng = np.random.default_rng(0)
        self.left = [{name: rng.standard_normal((1, 3, 32, 32), dtype=np.float32)} for _ in range(2)]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("f") / "float.onnx"
    torch.manual_seed(0)
    export_onnx(make_network("torchvision/resnet18", 4, {}).eval(), torch.zeros(1, 3, 32, 32), path, opset=20)
    return path


def test_onnx_runtimes_default_quantizer_fails(tmp_path, float_file):
    made = onnx.load(float_file)
    ortq.quantize_static(made, tmp_path / "q.onnx", Images(made.graph.input[0].name))
    findings = validate(tmp_path / "q.onnx", "10.3")
    assert failed(findings) and {"zero-point", "int32-bias"} <= {finding.rule for finding in findings}
    assert any("Non-zero zero point" in finding.says for finding in findings)
    json.dumps([finding.to_json() for finding in findings])


@pytest.mark.parametrize("target", [t for t in all_targets() if t.backend == "tensorrt"], ids=lambda t: t.name)
def test_what_edgetune_exports_for_tensorrt_passes(tmp_path, target):
    torch.manual_seed(0)
    network, example = make_network("torchvision/resnet18", 4, {}).eval(), torch.zeros(1, 3, 32, 32)
    graph = quantize(network, example, target.scheme, lambda: [torch.randn(4, 3, 32, 32) for _ in range(2)])
    export_onnx(graph, example, tmp_path / "m.onnx", opset=target.opset)
    assert validate(tmp_path / "m.onnx", target.backend_options["version"]) == []
    half = onnx.load(tmp_path / "m.onnx")
    to_half(half)
    onnx.save(half, tmp_path / "half.onnx")
    assert validate(tmp_path / "half.onnx", target.backend_options["version"]) == []
    assert "scale" in {finding.rule for finding in validate(tmp_path / "half.onnx", "8.6")}
    steps = Preprocessing(make_preprocessing(32))
    for made in (onnx.load(tmp_path / "m.onnx"), half):
        take_pixels(made, steps.factor, steps.offset)
        onnx.save(made, tmp_path / "pixels.onnx")
        assert validate(tmp_path / "pixels.onnx", target.backend_options["version"]) == []


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("quantized", [False, True], ids=["float", "int8"])
def test_what_edgetune_exports_for_tensorrt_8_passes(tmp_path, name, quantized):
    torch.manual_seed(0)
    network, example = make_network(f"torchvision/{name}", 4, {}).eval(), torch.zeros(1, 3, 32, 32)
    if quantized:
        network = quantize(network, example, load_target("jetson").scheme, lambda: [torch.randn(4, 3, 32, 32)])
    export_onnx(network, example, tmp_path / "m.onnx", opset=17)
    assert validate(tmp_path / "m.onnx", "8.5") == []
    made = onnx.load(tmp_path / "m.onnx")
    kinds = {tensor.data_type for tensor in made.graph.initializer}
    assert made.opset_import[0].version == 17 and TensorProto.FLOAT16 not in kinds
    parity = check_parity(network, tmp_path / "m.onnx", [torch.randn(4, 3, 32, 32)])
    assert parity["max_difference"] <= (0.05 if quantized else 1e-3) * max(1.0, parity["output_scale"])


def test_the_float_file_passes(float_file):
    assert validate(float_file, "tensorrt-10.3") == []


@pytest.mark.parametrize("version", ["10.99", "tensorrt-9", "", "jetson"])
def test_versions_that_are_not_known(float_file, version):
    with pytest.raises(InputError, match="not known") as caught:
        validate(float_file, version)
    assert "tensorrt-" in caught.value.hint


def test_files_that_are_no_onnx(tmp_path, float_file):
    with pytest.raises(InputError, match="there is no file"):
        validate(tmp_path / "none.onnx", "10.3")
    with pytest.raises(InputError, match="is a folder"):
        validate(tmp_path, "10.3")
    for content in (b"", b"GIF89a not onnx at all", float_file.read_bytes()[:5000]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"ONNX file"):
            validate(tmp_path / "bad.onnx", "10.3")


def test_weights_outside_the_folder_are_not_read(tmp_path):
    made = model(GOOD, [conv()])
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    (tmp_path / "models").mkdir()
    onnx.save(made, tmp_path / "models/m.onnx")
    with pytest.raises(InputError, match="cannot be read"):
        validate(tmp_path / "models/m.onnx", "10.3")


def test_weights_that_are_cut_off(tmp_path):
    made = model(GOOD, [conv()])
    made.graph.initializer[0].raw_data = b""
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="holds a constant that cannot be read"):
        validate(tmp_path / "m.onnx", "10.3")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("b") / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError):
        validate(path, "10.3")


def rules_of(made, tmp_path, version):
    onnx.save(made, tmp_path / "m.onnx")
    return {(finding.rule, finding.severity) for finding in validate(tmp_path / "m.onnx", version)}


def test_what_dla_does_not_take(tmp_path):
    relu = [helper.make_node("Relu", ["image"], ["y"], "relu")]
    assert rules_of(model([], relu), tmp_path, "10.3-dla") == set()
    assert rules_of(model([], relu), tmp_path, "tensorrt-10.13-dla") == {("dla-release", "error")}
    erf = [helper.make_node("Erf", ["image"], ["y"], "erf")]
    assert rules_of(model([], erf), tmp_path, "10.3-dla") == {("dla-operator", "warning")}
    assert rules_of(model([], erf), tmp_path, "10.3") == set()
    assert rules_of(model(GOOD, [conv()]), tmp_path, "10.3-dla") == {("dla-quantized", "warning")}
    free = model([], relu)
    free.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert rules_of(free, tmp_path, "10.3-dla") == {("dla-dimension", "error")}


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_any_damaged_file_is_refused_or_read(tmp_path_factory, position, byte):
    content = bytearray(model(GOOD, [conv()]).SerializeToString())
    content[position % len(content)] = byte
    path = tmp_path_factory.mktemp("d") / "m.onnx"
    path.write_bytes(content)
    try:
        assert isinstance(validate(path, "10.3-dla"), list)
    except InputError as problem:
        assert problem.message
