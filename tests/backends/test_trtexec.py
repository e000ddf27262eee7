"""trtexec's arguments flag by flag, and its files as its own source code writes them (it cannot be run here)."""

import json

import numpy as np
import pytest
import trtexec_contract
from edgetune_runtime import trtexec as called
from edgetune_runtime.errors import RuntimeProblem
from hypothesis import given
from hypothesis import strategies as st

from edgetune.backends import trtexec
from edgetune.backends.tensorrt_versions import RELEASES, find_release
from edgetune.errors import BackendError

FILES = trtexec.Files(
    onnx="m.onnx", engine="m.plan", timing_cache="cache", times="t.json", layers="l.json", profile="p.json"
)


def flags(version, precision):
    made = trtexec.command(
        find_release(version), FILES, precision=precision, shapes="image:1x3x8x8", workspace_mb=512, trtexec="trtexec"
    )
    assert made[0] == "trtexec"
    return dict(argument.partition("=")[::2] for argument in made[1:])


# Of the help texts and option parsers of samples/common/sampleOptions.cpp; a flag trtexec does not know ends it.
KNOWN = {
    "--onnx", "--saveEngine", "--shapes", "--memPoolSize", "--timingCacheFile", "--useCudaGraph", "--noDataTransfers",
    "--useSpinWait", "--separateProfileRun", "--profilingVerbosity", "--percentile", "--exportTimes",
    "--exportLayerInfo", "--exportProfile",
}  # fmt: skip
PRECISIONS = {
    ("8.5", "fp16"): {"--fp16"},
    ("8.6", "int8"): {"--fp16", "--int8"},
    ("10.0", "fp16"): {"--stronglyTyped"},
    ("10.16", "int8"): {"--stronglyTyped"},
    ("11.0", "fp16"): set(),
    ("11.4", "int8"): set(),
}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("version", RELEASES)
def test_the_flags_of_every_release(version, precision):
    found = flags(version, precision)
    family = version.partition(".")[0]
    of_precision = {"8": {"--fp16", "--int8"}, "10": {"--stronglyTyped"}, "11": set()}[family]
    assert set(found) <= KNOWN | of_precision
    assert not set(found) & {
        "--workspace",
        "--buildOnly",
        "--skipInference",
        "--explicitBatch",
        "--best",
        "--useRuntime",
    }


@pytest.mark.parametrize(("version", "precision"), PRECISIONS)
def test_precision_flags(version, precision):
    assert set(flags(version, precision)) - KNOWN == PRECISIONS[version, precision]


def test_what_each_flag_says():
    found = flags("10.3", "int8")
    assert found["--onnx"] == "m.onnx" and found["--saveEngine"] == "m.plan" and found["--timingCacheFile"] == "cache"
    assert found["--memPoolSize"] == "workspace:512"  # MiB where no unit is given
    assert found["--shapes"] == "image:1x3x8x8"
    assert found["--profilingVerbosity"] == "detailed" and found["--percentile"] == "50,90,95,99"
    assert (found["--exportTimes"], found["--exportLayerInfo"], found["--exportProfile"]) == (
        "t.json", "l.json", "p.json")  # fmt: skip
    for flag in ("--useCudaGraph", "--noDataTransfers", "--useSpinWait", "--separateProfileRun", "--stronglyTyped"):
        assert found[flag] == ""
    assert "--percentile" not in flags("8.5", "int8")


@pytest.mark.parametrize("version", RELEASES)
def test_every_command_keeps_the_contract_of_its_release(version):
    family, one = int(version.partition(".")[0]), ("--shapes=image:1x3x8x8",)
    commands = [
        called.build_command(
            family, FILES, precision=precision, shapes=called.shape_flags("image", (3, 8, 8), most), workspace_mb=512,
            trtexec="t", dla_core=core,
        )
        for precision in ("fp16", "int8")
        for most, core in ((1, None), (16, None), (1, 0))
    ]  # fmt: skip
    for core in (None, 0):
        commands.append(called.timing_command("t", "m.plan", "t.json", shapes=one, iterations=20, dla_core=core))
        commands.append(
            called.inference_command("t", "m.plan", shapes=one, inputs="image:i", output="o.json", dla_core=core)
        )
    for command in commands:
        assert trtexec_contract.parse(list(command[1:]), family)
    assert "noDataTransfers" not in trtexec_contract.parse(list(commands[-1][1:]), family)
    for wrong in ("--frobnicate", "--useCudaGraph=1", "--int8" if family == 11 else "--memPoolSize=512"):
        with pytest.raises(trtexec_contract.Wrong):
            trtexec_contract.parse(["--onnx=m.onnx", wrong], family)


OUTPUT = """[
{ "name" : "logits"
  , "dimensions" : "2x3"
  , "values" : [ 1.5, -inf, nan, 2e-05, 0, -0.25 ]
  }
]
"""


def test_outputs_as_trtexec_writes_them(tmp_path):
    (tmp_path / "o.json").write_text(OUTPUT)
    found = called.read_output(tmp_path / "o.json")["logits"]
    assert found.shape == (2, 3) and found.dtype == np.float32
    assert np.array_equal(found.ravel(), np.float32([1.5, -np.inf, np.nan, 2e-05, 0, -0.25]), equal_nan=True)
    for text in (OUTPUT.replace("2x3", "2x4"), "[{}]", "[3]", OUTPUT[:40]):
        (tmp_path / "o.json").write_text(text)
        with pytest.raises(RuntimeProblem, match=r"o\.json does not hold trtexec's output"):
            called.read_output(tmp_path / "o.json")


DLA = {"8.5": {"--fp16"}, "10.3": {"--fp16"}, "11.4": set()}  # 10.x builds for DLA without strong types


@pytest.mark.parametrize("version", DLA)
def test_flags_for_dla(version):
    made = trtexec.command(
        find_release(version),
        FILES,
        precision="fp16",
        shapes="image:1x3x8x8",
        workspace_mb=512,
        trtexec="t",
        dla_core=1,
    )
    assert set(made) >= {"--useDLACore=1", "--allowGPUFallback"} | DLA[version]
    assert "--stronglyTyped" not in made


def test_layers_that_dla_does_not_take_are_listed_with_the_reason():
    falls = "Unsupported on DLA. Switching this layer's device type to GPU."
    log = f"""[05/14/2024-03:00:00] [I] [TRT] [MemUsageChange] Init builder
[05/14/2024-03:00:00] [W] [TRT] Layer '/model.24/Constant_1_output_0' (CONSTANT): {falls}
[05/14/2024-03:00:00] [W] [TRT] /model.22/Slice_1: DLA only supports slicing 4 dimensional tensors.
[05/14/2024-03:00:00] [W] [TRT] Layer '/model.22/Slice_1' (SLICE): {falls}
[W] [TRT] Default DLA is enabled but layer Gather in embedding is not supported on DLA, falling back to GPU.
"""
    assert [(one.name, one.kind, one.why) for one in trtexec.gpu_fallbacks(log)] == [
        ("/model.22/Slice_1", "SLICE", "DLA only supports slicing 4 dimensional tensors."),
        ("Gather in embedding", None, None),
    ]


@given(st.text())
def test_any_log_is_read(text):
    assert isinstance(trtexec.gpu_fallbacks(text), list)


def test_without_a_precision_there_is_no_flag_for_it():
    assert set(flags("8.5", None)) <= KNOWN


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8602] # /usr/src/tensorrt/bin/trtexec --help", (8, 6, 2)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502]", (8, 5, 2)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b30] # trtexec", (10, 3, 0)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10]", (10, 16, 2)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110201] [b3]", (11, 2, 1)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v11.1.0.106] [b48]", (11, 1, 0)),
        ("trtexec: error while loading shared libraries: libnvinfer.so.10", None),
        ("", None),
    ],
)
def test_versions_as_trtexec_tells_them(text, version):
    assert trtexec.parse_version(text) == version


@given(st.sampled_from(list(RELEASES)), st.integers(0, 9))
def test_every_release_is_read_back(name, patch):
    major, minor = map(int, name.split("."))
    number = f"{major}{minor}0{patch}" if major < 10 else f"{major}{minor:02}0{patch}"
    assert trtexec.parse_version(f"[TensorRT v{number}]") == (major, minor, patch)


@given(st.text())
def test_any_text_has_a_version_or_none(text):
    assert trtexec.parse_version(text) is None or "TensorRT v" in text


TIMES = """[
  { "startEnqMs" : 200.1, "endEnqMs" : 200.2, "startH2dMs" : 0, "endH2dMs" : 0, "startComputeMs" : 200.2,
 "endComputeMs" : 201.5, "startD2hMs" : 0, "endD2hMs" : 0, "h2dMs" : 0, "computeMs" : 1.25, "d2hMs" : 0,
 "latencyMs" : 1.25 }
, { "startEnqMs" : 201.1, "endEnqMs" : 201.2, "computeMs" : 1.5, "latencyMs" : 1.5 }
]
"""
PROFILE = """[
  { "count" : 625 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to Conv_0", "timeMs" : 36.68, "averageMs" : 0.0587 }
, { "name" : "Conv_0 + PWN(Clip_3)", "timeMs" : 41.42, "averageMs" : 0.0663, "medianMs" : 0.066, "percentage" : 1.3 }
, { "name" : "to int8", "timeMs" : 62.5, "averageMs" : 0.1, "percentage" : 2 }
]
"""
TENSOR_10 = {"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP16 format"}
TENSOR_11 = {"Name": "x", "DataType": "Int8", "Format": "Channel major Int8 format"}
LAYERS = {
    "Layers": [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to Conv_0", "LayerType": "Reformat",
            "Inputs": [TENSOR_10], "Outputs": [TENSOR_11], "ParameterType": "Reformat", "Origin": "REFORMAT",
            "TacticValue": "0x00000000000003e8",
        },
        {"Name": "Conv_0 + PWN(Clip_3)", "LayerType": "CaskConvolution", "Inputs": [TENSOR_11], "Outputs": [TENSOR_11]},
        {"Name": "to int8", "LayerType": "Reformat", "Inputs": [TENSOR_10], "Outputs": [TENSOR_11], "Origin": "QDQ"},
        {"Name": "never timed", "LayerType": "Reformat", "Inputs": [], "Outputs": []},
    ],
    "Bindings": ["image", "logits"],
}  # fmt: skip


def test_reading_what_trtexec_writes(tmp_path):
    (tmp_path / "t.json").write_text(TIMES)
    (tmp_path / "p.json").write_text(PROFILE)
    (tmp_path / "l.json").write_text(json.dumps(LAYERS))
    assert trtexec.read_times(tmp_path / "t.json") == [1.25, 1.5]
    profile = trtexec.read_profile(tmp_path / "p.json")
    assert profile["Conv_0 + PWN(Clip_3)"] == 0.0663 and len(profile) == 3
    layers = trtexec.read_layers(tmp_path / "l.json")
    assert layers[0].inputs == ("Row major linear FP16 format",)
    assert layers[0].outputs == ("Int8, Channel major Int8 format",)
    found = trtexec.reformat_layers(layers, profile)
    assert [(layer.name, layer.origin, layer.average_ms) for layer in found] == [
        ("to int8", "QDQ", 0.1),
        ("Reformatting CopyNode for Input Tensor 0 to Conv_0", "REFORMAT", 0.0587),
        ("never timed", None, None),
    ]


def test_layers_of_an_engine_without_details_have_names_only(tmp_path):
    (tmp_path / "l.json").write_text(
        '{"Layers": ["Reformatting CopyNode for Input Tensor 0 to a", "a"], "Bindings": []}'
    )
    layers = trtexec.read_layers(tmp_path / "l.json")
    assert [layer.name for layer in trtexec.reformat_layers(layers, {})] == [layers[0].name]


READERS = {"times": trtexec.read_times, "layers": trtexec.read_layers, "profile": trtexec.read_profile}


@pytest.mark.parametrize("text", ["", "[", "nonsense", "3", "null", '"x"', "[]{}", "[" * 100_000])
@pytest.mark.parametrize("kind", READERS)
def test_files_that_are_not_trtexecs(tmp_path, kind, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(BackendError, match=rf"f\.json does not hold trtexec's {kind}"):
        READERS[kind](tmp_path / "f.json")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("times", "[]"),
        ("times", '[{"latencyMs": 1}]'),
        ("times", "[3]"),
        ("times", '[{"computeMs": -1}]'),
        ("times", '[{"computeMs": NaN}]'),
        ("layers", "{}"),
        ("layers", '{"Layers": 3}'),
        ("profile", '[{"name": "a"}]'),
        ("profile", '[{"name": "a", "averageMs": "x"}]'),
        ("profile", "[3]"),
    ],
)
def test_json_that_is_something_else(tmp_path, kind, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(BackendError):
        READERS[kind](tmp_path / "f.json")


@pytest.mark.parametrize("kind", READERS)
def test_files_that_are_not_there(tmp_path, kind):
    with pytest.raises(BackendError, match="cannot read"):
        READERS[kind](tmp_path / "f.json")


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Layers", "Name", "LayerType", "Inputs", "computeMs", "name", "averageMs", "Format"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(VALUES, st.sampled_from(list(READERS)))
def test_any_json_is_read_or_refused(tmp_path_factory, value, kind):
    path = tmp_path_factory.mktemp("j") / "f.json"
    path.write_text(json.dumps(value))
    try:
        READERS[kind](path)
    except BackendError as problem:
        assert "f.json" in problem.message
