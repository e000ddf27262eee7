"""One of each family of convolutional classifiers is pruned and runs; the table in docs is what the benchmark found.

Pruned by a criterion without data, and not exported: that all of them are exported and quantized is for
``benchmarks/families.py``, whose run takes half an hour. Two of unlike structure go through ONNX Runtime here, and of
timm's ten four, which are pruned by a latency as well. Swin is pruned in ``tests/models/test_tracing.py``.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.head import head_modules
from edgetune.models.zoo import make_network
from edgetune.pruning.shapes import layer_shapes
from edgetune.pruning.surgery import PruneOptions, count_channels, latency_of, prune_by_ratio, prune_to_latency

ROOT = Path(__file__).parents[1]
SIZES = {
    "alexnet": 64, "vgg11_bn": 32, "resnet18": 32, "resnext50_32x4d": 32, "wide_resnet50_2": 32, "squeezenet1_1": 32,
    "densenet121": 32, "inception_v3": 75, "googlenet": 32, "shufflenet_v2_x0_5": 32, "mobilenet_v2": 32,
    "mobilenet_v3_small": 32, "mnasnet0_5": 32, "efficientnet_b0": 32, "regnet_y_400mf": 32, "convnext_tiny": 32,
}  # fmt: skip
TIMM = {"lcnet_050": {}, "ghostnet_050": {}, "convnext_atto": {}, "vit_tiny_patch16_224": {"img_size": 32}}
OTHERS_OF_TIMM = (
    "resnet18", "mobilenetv3_small_050", "efficientnet_lite0", "hardcorenas_a", "repvgg_a0", "fbnetc_100",
)  # fmt: skip
EXPORTED = ("shufflenet_v2_x0_5", "squeezenet1_1")


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_one_of_each_family_is_pruned_and_runs(tmp_path, name):
    torch.manual_seed(0)
    network, size = make_network(f"torchvision/{name}", 5, {}).eval(), SIZES[name]
    example, before = torch.zeros(1, 3, size, size), count_channels(network)
    head = head_modules(lambda classes: make_network(f"torchvision/{name}", classes, {}), 5)
    options = PruneOptions(criterion="magnitude", scope="local", channel_multiple=8, protected=head)
    assert prune_by_ratio(network, example, 0.4, options, [])
    assert count_channels(network) < 0.95 * before and network(example).shape == (1, 5)
    if name in EXPORTED:
        export_onnx(network, example, tmp_path / "model.onnx", opset=20)
        check_parity(network, tmp_path / "model.onnx", [torch.randn(2, 3, size, size)])


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_timms_families_are_pruned_both_ways_and_run(tmp_path, name):
    pytest.importorskip("timm")

    def make(classes):
        torch.manual_seed(0)
        return make_network(f"timm/{name}", classes, TIMM[name]).eval()

    example, head = torch.zeros(1, 3, 32, 32), head_modules(make, 5)
    network, by_latency = make(5), make(5)
    before, times = count_channels(network), multiplications(network, example)
    options = PruneOptions(criterion="magnitude", scope="local", channel_multiple=8, protected=head)
    assert prune_by_ratio(network, example, 0.3, options, [])
    assert count_channels(network) < 0.95 * before
    limit = latency_of(by_latency, example, times) / 1.2
    assert prune_to_latency(by_latency, example, limit, times, options, [])
    assert latency_of(by_latency, example, times) <= limit and by_latency(example).shape == (1, 5)
    if name != "ghostnet_050":  # its many layers take long to export
        export_onnx(network, example, tmp_path / "model.onnx", opset=20)
        check_parity(network, tmp_path / "model.onnx", [torch.randn(2, 3, 32, 32)])


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS_OF_TIMM)
def test_others_of_timm_are_pruned_and_run(name):
    pytest.importorskip("timm")
    torch.manual_seed(0)
    network, example = make_network(f"timm/{name}", 5, {}).eval(), torch.zeros(1, 3, 32, 32)
    before, head = count_channels(network), head_modules(lambda classes: make_network(f"timm/{name}", classes, {}), 5)
    options = PruneOptions(criterion="magnitude", scope="local", channel_multiple=8, protected=head)
    assert prune_by_ratio(network, example, 0.4, options, [])
    assert count_channels(network) < 0.95 * before and network(example).shape == (1, 5)


def multiplications(network, example):
    """As if each took a nanosecond."""
    found = {}
    for name, shape in layer_shapes(network, example).items():
        weights = shape.inputs // shape.groups * shape.outputs * shape.kernel[0] * shape.kernel[1]
        ms = weights * shape.height * shape.width // (shape.stride[0] * shape.stride[1]) / 1e6
        found[name] = LayerTimes(
            inputs=(0, shape.inputs),
            outputs=() if shape.depthwise else (0, shape.outputs),
            ms=((0.0,), (ms,)) if shape.depthwise else ((0.0, 0.0), (0.0, ms)),
        )
    return found


def test_the_table_of_families():
    printed = subprocess.run(
        [sys.executable, "benchmarks/families.py", "--table"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = (ROOT / "docs/pruning.md").read_text(encoding="utf-8")
    found = text.partition("<!-- families: begin -->\n")[2].partition("\n<!-- families: end -->")[0]
    assert found == printed, f"put this table between the marks:\n{printed}"
