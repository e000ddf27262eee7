"""torch.onnx's translations are read once, and what one export adds to them the next does not see."""

import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from edgetune.export import library
from edgetune.export.onnx_export import export_onnx


def known(registry):
    return {operator: [one.onnx_function for one in found] for operator, found in registry.functions.items()}


def test_it_is_read_once_and_is_what_torch_reads():
    before = vars(ONNXRegistry)[library.READ]
    with library.read_once():
        first, second = (ONNXRegistry().from_torchlib(opset_version=20) for _ in range(2))
        older = ONNXRegistry.from_torchlib()
    assert vars(ONNXRegistry)[library.READ] is before
    fresh = ONNXRegistry.from_torchlib(opset_version=20)
    assert known(first) == known(second) == known(fresh) and len(known(fresh)) > 500
    assert (first.opset_version, older.opset_version) == (20, ONNXRegistry.from_torchlib().opset_version)
    assert known(older) == known(ONNXRegistry.from_torchlib()) != known(first)
    relu = torch.ops.aten.relu.default
    assert first.get_decomps(relu)[0] is second.get_decomps(relu)[0] is not fresh.get_decomps(relu)[0]


def test_what_an_export_adds_is_its_own():
    relu = torch.ops.aten.relu.default
    with library.read_once():
        mine, other = ONNXRegistry.from_torchlib(opset_version=20), ONNXRegistry.from_torchlib(opset_version=20)
        mine.register_op(relu, lambda x: x)
        later = ONNXRegistry.from_torchlib(opset_version=20)
    assert mine.get_decomps(relu)[0].is_custom
    assert known(other) == known(later) == known(ONNXRegistry.from_torchlib(opset_version=20))


def test_operators_that_come_later_are_read_too():
    import torch.ao.quantization.fx._decomposed

    with library.read_once():
        early = known(ONNXRegistry.from_torchlib(opset_version=20))
        mine = torch.library.Library("edgetune_test_library", "DEF")
        mine.define("later(Tensor x) -> Tensor")
        library_reads = library._read.cache_info().misses
        late = known(ONNXRegistry.from_torchlib(opset_version=20))
    assert library._read.cache_info().misses == library_reads + 1 and late == early
    assert any(name.startswith("quantized_decomposed::") for name in map(str, late))


@pytest.mark.parametrize("name", ["PLACE", "REGISTRY", "READ", "OPERATORS"])
def test_a_torch_without_that_name_exports_as_ever_and_to_the_same_bytes(monkeypatch, tmp_path, name):
    torch.manual_seed(0)
    network, image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8)
    export_onnx(network, image, tmp_path / "once.onnx", opset=20)
    monkeypatch.setattr(library, name, "torch.gone")
    export_onnx(network, image, tmp_path / "anew.onnx", opset=20)
    assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "anew.onnx").read_bytes()
