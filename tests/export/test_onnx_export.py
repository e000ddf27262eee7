"""Exported files: any batch, clean, small, the same bytes every time, and all-integer where they should be."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgetune.errors import ExportError
from edgetune.export.onnx_export import check_exportable, export_onnx
from edgetune.export.parity import check_parity
from edgetune.models.zoo import make_network
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, 64, 64)


def batches():
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(4, 3, 64, 64, generator=rng) for _ in range(2)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    torch.manual_seed(0)
    network = make_network("torchvision/resnet18", 5, {}).eval()
    graph = quantize(network, EXAMPLE, QuantizationScheme(), batches)
    export_onnx(network, EXAMPLE, folder / "float.onnx", opset=20)
    export_onnx(graph, EXAMPLE, folder / "int8.onnx", opset=20)
    return folder, network, graph


def test_both_say_what_torch_says(files):
    folder, network, graph = files
    assert check_parity(network, folder / "float.onnx", batches())["max_difference"] < 1e-4
    parity = check_parity(graph, folder / "int8.onnx", batches())
    assert parity["max_difference"] < 0.2 * parity["output_scale"] + 0.02


def test_any_batch_size_runs(files):
    session = onnxruntime.InferenceSession(str(files[0] / "int8.onnx"))
    for size in (1, 3):
        assert session.run(None, {"image": np.zeros((size, 3, 64, 64), np.float32)})[0].shape == (size, 5)


def test_onnx_runtime_makes_an_all_integer_graph_of_it(files, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files[0] / "int8.onnx"), options)
    kinds = collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 20 and kinds["QLinearAdd"] == 8
    assert kinds["Conv"] == 0 and kinds["Add"] == 0 and kinds["Relu"] == 0


def test_int8_files_are_small(files):
    folder = files[0]
    assert (folder / "int8.onnx").stat().st_size <= 0.30 * (folder / "float.onnx").stat().st_size


def test_no_path_and_no_documentation_is_left_in_the_file(files):
    for name in ("float.onnx", "int8.onnx"):
        content = (files[0] / name).read_bytes()
        for trace in (b"site-packages", b".py", b"stack_trace", b"/root", b"/home"):
            assert trace not in content, trace
        assert len(onnx.load(files[0] / name).graph.value_info) == 0


def test_the_same_network_gives_the_same_bytes(files, tmp_path):
    folder, network, graph = files
    export_onnx(network, EXAMPLE, tmp_path / "float.onnx", opset=20)
    export_onnx(graph, EXAMPLE, tmp_path / "int8.onnx", opset=20)
    for name in ("float.onnx", "int8.onnx"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


class Branches(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))


def test_what_cannot_be_exported_says_so_in_one_sentence(tmp_path, capfd):
    with pytest.raises(ExportError, match="cannot be exported to ONNX"):
        export_onnx(Branches(), EXAMPLE, tmp_path / "x.onnx", opset=20)
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(ExportError, match=r"to ONNX in the network itself \(Branches, test_onnx_export.py, line \d+\)"):
        check_exportable(Branches(), EXAMPLE)
    assert capfd.readouterr().err == ""


class RefusesPlainTracing(nn.Module):
    """Goes another way for ONNX, as networks of libraries do."""

    def __init__(self, fails):
        super().__init__()
        self.layer, self.fails = nn.Linear(EXAMPLE[0].numel(), 2), fails

    def forward(self, x):
        if self.fails() and torch.compiler.is_exporting():
            raise RuntimeError("not this way")
        return self.layer(x.flatten(1))


def test_what_only_the_exporter_takes_may_be_exported(tmp_path):
    network = RefusesPlainTracing(lambda: not torch.onnx.is_in_onnx_export())
    export_onnx(network, EXAMPLE, tmp_path / "x.onnx", opset=20)  # and so it passes beforehand
    check_exportable(network, EXAMPLE)
    with pytest.raises(ExportError, match="not this way"):
        check_exportable(RefusesPlainTracing(lambda: True), EXAMPLE)


def test_nothing_is_printed(capfd, tmp_path):
    export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.zeros(1, 3, 2, 2), tmp_path / "x.onnx", opset=20)
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""
