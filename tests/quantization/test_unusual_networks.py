"""Networks that are hard to trace are refused with the place; unusual ones are quantized whole and say the same."""

import pytest
import torch
from onnxscript import opset20 as op
from random_networks import SIZE
from torch import nn

from edgetune.errors import ExportError, QuantizationError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.operators import TRANSLATIONS, register_operator
from edgetune.export.parity import check_quantized_parity, parity_problem
from edgetune.quantization.fake_quant import WeightFakeQuantize
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme

EXAMPLE = torch.zeros(1, 3, SIZE, SIZE)
EVERY_REPAIR = ("equalisation", "adaround", "bias-correction")


def samples(count=16, batches=2):
    rng = torch.Generator().manual_seed(7)
    return [torch.rand(count, 3, SIZE, SIZE, generator=rng) for _ in range(batches)]


def head(channels):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # what cannot be traced
            return x
        return -x


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)

    def forward(self, x):
        x = torch.relu(self.conv(torch.relu(self.conv(x)))).mean((2, 3))
        return self.linear(torch.relu(self.linear(x)))


torch.library.define("edgetune_tests::twist", "(Tensor x) -> Tensor")
torch.library.impl("edgetune_tests::twist", "cpu")(lambda x: x * x)
torch.library.register_fake("edgetune_tests::twist")(torch.empty_like)


class Twisted(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return torch.ops.edgetune_tests.twist(self.conv(x)).mean((2, 3))


NETWORKS = {
    "without batch norm": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), *head(8)), 3),
    "odd channels": (
        lambda: nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Conv2d(7, 13, 3), *head(13)),
        3,
    ),
    "grouped and depthwise": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 9, 3, groups=3), nn.ReLU(), nn.Conv2d(9, 9, 3, groups=9), nn.Conv2d(9, 6, 1, groups=3),
            *head(6),
        ),
        4,
    ),
    "padding in words": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, (3, 5), padding="same"), nn.ReLU(), nn.Conv2d(8, 8, 3, padding="same", dilation=2),
            nn.Conv2d(8, 4, 3, padding="valid"), *head(4),
        ),
        4,
    ),
    "shared weights": (Shared, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_unusual_networks_are_quantized_whole(tmp_path, name):
    torch.manual_seed(0)
    make, weights = NETWORKS[name]
    network = make().eval()
    graph = quantize(network, EXAMPLE, QuantizationScheme(), samples, repair=EVERY_REPAIR)
    assert sum(isinstance(module, WeightFakeQuantize) for module in graph.modules()) == weights
    export_onnx(graph, EXAMPLE, tmp_path / "n.onnx", opset=20)
    assert parity_problem(check_quantized_parity(network, graph, tmp_path / "n.onnx", samples())) is None


def test_what_branches_on_values_is_named_with_module_and_line():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Branching(), *head(4)).eval()
    where = r"in 1 \(Branching, test_unusual_networks.py, line \d+\)"
    with pytest.raises(QuantizationError, match=rf"cannot be traced {where}"):
        quantize(network, EXAMPLE, QuantizationScheme(), samples)


def test_an_exported_float_network_that_branches_is_named_too(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Branching(), *head(4)).eval()
    with pytest.raises(ExportError, match=r"in 1 \(Branching, test_unusual_networks.py, line \d+\)"):
        export_onnx(network, EXAMPLE, tmp_path / "n.onnx", opset=20)


def test_an_operator_of_the_users_own_is_named_and_a_translation_exports_it(tmp_path):
    torch.manual_seed(0)
    network, twist = Twisted().eval(), torch.ops.edgetune_tests.twist.default
    graph = quantize(network, EXAMPLE, QuantizationScheme(), samples)
    with pytest.raises(ExportError, match=r"edgetune_tests\.twist"):
        export_onnx(graph, EXAMPLE, tmp_path / "n.onnx", opset=20)
    register_operator(twist, lambda x: op.Mul(x, x))
    try:
        export_onnx(graph, EXAMPLE, tmp_path / "n.onnx", opset=20)
    finally:
        del TRANSLATIONS[twist]
    assert parity_problem(check_quantized_parity(network, graph, tmp_path / "n.onnx", samples())) is None


torch.library.define("edgetune_tests::shapeless", "(Tensor x) -> Tensor")
torch.library.impl("edgetune_tests::shapeless", "cpu")(lambda x: x * x)


@torch.library.custom_op("edgetune_tests::shapeless_too", mutates_args=())
def shapeless_too(x: torch.Tensor) -> torch.Tensor:
    return x * x


class Shapeless(nn.Conv2d):
    def forward(self, x):
        return torch.ops.edgetune_tests.shapeless(super().forward(x)).mean((2, 3))


class ShapelessToo(nn.Conv2d):
    def forward(self, x):
        return shapeless_too(super().forward(x)).mean((2, 3))


@pytest.mark.parametrize("kind", [Shapeless, ShapelessToo])
def test_an_operator_without_a_shape_function_is_told_how_to_get_one(tmp_path, kind):
    network = kind(3, 4, 1).eval()
    with pytest.raises(ExportError, match="shapeless") as exporting:
        export_onnx(network, EXAMPLE, tmp_path / "n.onnx", opset=20)
    with pytest.raises(QuantizationError, match="shapeless") as tracing:
        quantize(network, EXAMPLE, QuantizationScheme(), samples)
    assert "torch.library.register_fake" in exporting.value.hint and "register_fake" in tracing.value.hint


@pytest.mark.parametrize("count", [1, 3])
def test_few_samples_and_samples_that_are_all_alike_give_finite_answers(count):
    torch.manual_seed(0)
    network = NETWORKS["odd channels"][0]().eval()
    for calibration in (samples(count, 1), [torch.zeros(count, 3, SIZE, SIZE)]):
        graph = quantize(network, EXAMPLE, QuantizationScheme(), lambda given=calibration: given, repair=EVERY_REPAIR)
        assert bool(graph(samples()[0]).isfinite().all())


def test_no_samples_and_nan_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), *head(4)).eval()
    for given, says in (([], "no samples"), ([torch.full((2, 3, SIZE, SIZE), float("nan"))], "NaN or infinity")):
        with pytest.raises(QuantizationError, match=says):
            quantize(network, EXAMPLE, QuantizationScheme(), lambda given=given: given)
