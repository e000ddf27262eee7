"""Opsets older than the exporter's own, as TensorRT 8 needs them."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from edgetune.errors import ExportError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.opset import lower_opset
from edgetune.models.zoo import make_network


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_opset_17_says_what_opset_20_says(tmp_path, name):
    torch.manual_seed(0)
    network, example = make_network(f"torchvision/{name}", 4, {}).eval(), torch.zeros(1, 3, 32, 32)
    x, found = np.random.default_rng(0).standard_normal((3, 3, 32, 32), dtype=np.float32), {}
    for opset in (17, 20):
        path = tmp_path / f"{opset}.onnx"
        export_onnx(network, example, path, opset=opset)
        made = onnx.load(path)
        assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", opset)]
        found[opset] = onnxruntime.InferenceSession(str(path)).run(None, {"image": x})[0]
    assert np.allclose(found[17], found[20], atol=1e-5)
    first = (tmp_path / "17.onnx").read_bytes()
    export_onnx(network, example, tmp_path / "again.onnx", opset=17)
    assert (tmp_path / "again.onnx").read_bytes() == first and str(tmp_path).encode() not in first


def model(node, opset):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, [2, 3])], [value("y", TensorProto.FLOAT, None)]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_a_file_that_is_old_enough_stays_as_it_is():
    made = model(helper.make_node("Relu", ["x"], ["y"]), 13)
    assert lower_opset(made, 17) is made


def test_what_an_older_opset_does_not_have():
    made = model(helper.make_node("Gelu", ["x"], ["y"]), 20)
    with pytest.raises(ExportError, match="cannot be written in opset 17"):
        lower_opset(made, 17)
