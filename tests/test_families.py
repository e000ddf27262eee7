"""One of each family of convolutional classifiers is pruned and runs; the table in docs is what the benchmark found.

Pruned by a criterion without data, and not exported: that all of them are exported and quantized is for
``benchmarks/families.py``, whose run takes half an hour. Two of unlike structure go through ONNX Runtime here. Swin is
pruned in ``tests/models/test_tracing.py``, ViT in ``tests/pruning/test_surgery.py``.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.models.head import head_modules
from edgetune.models.zoo import make_network
from edgetune.pruning.surgery import PruneOptions, count_channels, prune_by_ratio

ROOT = Path(__file__).parents[1]
SIZES = {
    "alexnet": 64, "vgg11_bn": 32, "resnet18": 32, "resnext50_32x4d": 32, "wide_resnet50_2": 32, "squeezenet1_1": 32,
    "densenet121": 32, "inception_v3": 75, "googlenet": 32, "shufflenet_v2_x0_5": 32, "mobilenet_v2": 32,
    "mobilenet_v3_small": 32, "mnasnet0_5": 32, "efficientnet_b0": 32, "regnet_y_400mf": 32, "convnext_tiny": 32,
}  # fmt: skip
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


def test_the_table_of_families():
    printed = subprocess.run(
        [sys.executable, "benchmarks/families.py", "--table"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = (ROOT / "docs/pruning.md").read_text(encoding="utf-8")
    found = text.partition("<!-- families: begin -->\n")[2].partition("\n<!-- families: end -->")[0]
    assert found == printed, f"put this table between the marks:\n{printed}"
