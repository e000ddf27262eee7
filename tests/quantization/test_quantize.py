"""The pass on networks of all kinds: close to float, one scale a tensor, and the same in ONNX Runtime."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import SIZE, networks
from torch import nn

from edgetune.errors import QuantizationError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.models.zoo import make_network
from edgetune.quantization.decompose import decompose_hardswish, decompose_silu
from edgetune.quantization.fake_quant import WeightFakeQuantize
from edgetune.quantization.fold_bn import fold_batch_norms
from edgetune.quantization.insert import fake_quantizes
from edgetune.quantization.quantize import quantize
from edgetune.quantization.trace import trace
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
X86 = QuantizationScheme(activation="uint8")
ARM = QuantizationScheme(activation="int8")
WHOLE = replace(X86, operators=(*X86.operators, "mul", "sigmoid", "hardsigmoid"), layer_outputs=True)


def samples():
    rng = torch.Generator().manual_seed(7)
    return [torch.randn(16, 3, SIZE, SIZE, generator=rng) for _ in range(2)]


@settings(max_examples=12)
@given(networks())
def test_folding_batch_norms_changes_nothing(network):
    graph = trace(network, EXAMPLE)
    fold_batch_norms(graph)
    assert "batch_norm" not in graph.code
    for batch in samples():
        torch.testing.assert_close(graph(batch), network(batch), atol=1e-4, rtol=1e-4)


@settings(max_examples=10)
@given(networks(), st.sampled_from([X86, ARM, WHOLE]))
def test_quantized_networks_stay_close_and_say_the_same_in_onnx_runtime(tmp_path_factory, network, scheme):
    path = tmp_path_factory.mktemp("q") / "q.onnx"
    graph = quantize(network, EXAMPLE, scheme, samples)
    with torch.no_grad():
        expected = torch.cat([network(batch) for batch in samples()])
        found = torch.cat([graph(batch) for batch in samples()])
    spread = float(expected.std()) + 1e-3
    assert float((found - expected).abs().mean()) < 0.25 * spread
    export_onnx(graph, EXAMPLE, path, opset=20)
    parity = check_parity(graph, path, samples())
    assert parity["max_difference"] < 0.3 * spread + 0.02
    weights = {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.INT8}


def test_a_tensor_that_feeds_two_operators_is_quantized_once():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return (self.a(x) + self.b(x)).mean((2, 3))

    graph = quantize(Fork().eval(), EXAMPLE, X86, samples)
    assert len(fake_quantizes(graph)) == 4  # x, both branches, and their sum before the mean


def test_layers_that_share_a_weight_share_its_scales():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    graph = quantize(Twice().eval(), EXAMPLE, X86, samples)
    assert sum(isinstance(module, WeightFakeQuantize) for module in graph.modules()) == 1


@pytest.mark.parametrize("scheme", [X86, ARM])
def test_zero_is_exact_and_ranges_are_the_schemes(scheme):
    graph = quantize(make_network("torchvision/resnet18", 4, {}).eval(), EXAMPLE, scheme, samples)
    for module in fake_quantizes(graph):
        assert float(module(torch.zeros(1))) == 0.0
        assert module.quant_min <= module.zero_point <= module.quant_max
        assert (module.zero_point == 0) or scheme is X86


def test_reduced_range_weights_fit_seven_bits(tmp_path):
    scheme = QuantizationScheme(activation="uint8", reduce_range=True)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    ).eval()
    export_onnx(quantize(network, EXAMPLE, scheme, samples), EXAMPLE, tmp_path / "q.onnx", opset=20)
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "q.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(weights) == 2
    for weight in weights:
        assert np.abs(weight.astype(int)).max() == 63


def test_per_channel_scales_are_each_channels_own():
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([0.01, 1.0, 10.0, 0.0]).view(4, 1, 1, 1)
    module = WeightFakeQuantize(weight, per_channel=True, reduce_range=False)
    error = (module(weight) - weight).abs().amax((1, 2, 3))
    assert torch.all(error <= module.scale / 2 + 1e-9)
    single = WeightFakeQuantize(weight, per_channel=False, reduce_range=False)
    assert (single(weight) - weight)[0].abs().max() > error[0]


def test_a_network_that_cannot_be_traced_says_so():
    class Branches(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

    with pytest.raises(QuantizationError, match="cannot be traced") as caught:
        quantize(Branches(), EXAMPLE, X86, samples)
    assert 'mode = "none"' in caught.value.hint


def test_nan_in_calibration_and_no_samples():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(QuantizationError, match="NaN or infinity"):
        quantize(network, EXAMPLE, X86, lambda: [torch.full((2, 3, SIZE, SIZE), float("nan"))])
    with pytest.raises(QuantizationError, match="no samples"):
        quantize(network, EXAMPLE, X86, list)


def test_a_network_without_anything_to_quantize():
    with pytest.raises(QuantizationError, match="no operator that the scheme quantizes"):
        quantize(nn.Sequential(nn.ReLU(), nn.Flatten()), EXAMPLE, X86, samples)


def test_the_network_that_was_handed_in_is_left_as_it_was():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    before = {key: value.clone() for key, value in network.state_dict().items()}
    quantize(network, EXAMPLE, X86, samples)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def optimised_operators(network, scheme, folder):
    """How often ONNX Runtime runs each operator of the network's INT8 engine."""
    export_onnx(quantize(network.eval(), EXAMPLE, scheme, samples), EXAMPLE, folder / "q.onnx", opset=20)
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimised.onnx"), 3
    ort.InferenceSession(folder / "q.onnx", options)
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def test_layers_before_float_operators_run_in_integers(tmp_path):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.SiLU(), nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    found = optimised_operators(network, WHOLE, tmp_path)
    assert found["QLinearConv"] == 3 and found["Conv"] == 0
    assert found["QLinearSigmoid"] == 1 and found["QLinearAdd"] == 1 and found["QLinearMul"] == 2
    assert optimised_operators(network, X86, tmp_path)["QLinearConv"] < 3


def test_the_output_stays_float_however_it_is_shaped():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(self.conv(x).mean((2, 3), keepdim=True)).flatten(1)

    graph = quantize(Head().eval(), EXAMPLE, WHOLE, samples)
    output = next(node for node in graph.graph.nodes if node.op == "output")
    assert "fake_quantize" not in str(output.all_input_nodes[0].all_input_nodes[0].target)
    assert len(fake_quantizes(graph)) == 3  # the image, what is averaged, the average


def test_decomposed_silu_is_silu():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.SiLU(inplace=True)).eval()
    graph = trace(network, EXAMPLE)
    decompose_silu(graph)
    assert "silu" not in graph.code
    torch.testing.assert_close(graph(samples()[0]), network(samples()[0]))


def test_decomposed_hardswish_is_hardswish():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Hardswish(inplace=True)).eval()
    graph = trace(network, EXAMPLE)
    decompose_hardswish(graph)
    assert "hardswish" not in graph.code
    torch.testing.assert_close(graph(samples()[0] * 4), network(samples()[0] * 4))


def test_ranges_hold_no_more_than_hard_swish_tells_apart():
    class Gated(nn.Module):
        def __init__(self, also):
            super().__init__()
            self.conv, self.also = nn.Conv2d(3, 4, 1), also

        def forward(self, x):
            y = self.conv(x * 20)
            gated = nn.functional.hardswish(y)
            return (gated + y if self.also else gated).mean((2, 3))

    for also in (False, True):
        graph = quantize(Gated(also).eval(), EXAMPLE, WHOLE, samples, calibration="minmax")
        (gate,) = [node for node in graph.graph.nodes if "hardsigmoid" in str(node.target)]
        ranges = [graph.get_submodule(str(node.target)) for node in (gate.args[0], next(iter(gate.users)))]
        read, given = [(-fake.zero_point * fake.scale, (255 - fake.zero_point) * fake.scale) for fake in ranges]
        assert given == pytest.approx((0, 1))
        assert read[0] < -10 if also else read[0] == pytest.approx(-3, abs=ranges[0].scale)


@pytest.mark.parametrize("downsample", [False, True])
def test_an_addition_that_is_fused_reads_its_convolution_as_it_is(downsample):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return torch.relu((self.b(x) if downsample else x) + self.a(x)).mean((2, 3))

    graph = quantize(Residual().eval(), EXAMPLE, replace(ARM, fused_add=True), samples)
    (added,) = [node for node in graph.graph.nodes if "add" in str(node.target)]
    assert sum("fake_quantize" in str(source.target) for source in added.args) == 1
    kept = next(source for source in added.args if "fake_quantize" not in str(source.target))
    assert "conv2d" in str(kept.target)


def test_named_layers_stay_in_float():
    network = nn.Sequential()
    network.stem = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    network.body = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.head = nn.Linear(8, 4)
    network.eval()

    def weights(graph):
        return sum(isinstance(module, WeightFakeQuantize) for module in graph.modules())

    assert weights(quantize(network, EXAMPLE, X86, samples)) == 3
    assert weights(quantize(network, EXAMPLE, X86, samples, keep_float=("stem",))) == 2
    kept = quantize(network, EXAMPLE, X86, samples, keep_float=("stem.0", "head"))
    assert weights(kept) == 1
    nodes = {node.meta.get("edgetune_module"): node for node in kept.graph.nodes}
    assert nodes["stem.0"].args[0].op == "placeholder"  # the picture is not rounded either
    with pytest.raises(QuantizationError, match='keep_float` names "stm"') as caught:
        quantize(network, EXAMPLE, X86, samples, keep_float=("stm",))
    assert "stem.0" in str(caught.value.hint)
