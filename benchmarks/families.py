"""Which families of networks are pruned, exported and quantized: one of each of torchvision's, and ten of timm's.

    python benchmarks/families.py [--only NAME ...]

With random weights, and at the smallest pictures each takes. A family that something does not work for stands in the
result with the reason. What runs is checked: ONNX Runtime's outputs against torch's (of INT8: against the fake-quant
graph's), the mean difference as a share of the outputs' standard deviation.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import save
from torch import Tensor, nn

from edgetune.errors import EdgetuneError
from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.models.head import head_modules
from edgetune.models.zoo import make_network
from edgetune.pruning.surgery import PruneOptions, count_channels, prune_by_ratio
from edgetune.quantization.quantize import quantize
from edgetune.target import load_target

FAMILIES = {
    "torchvision/alexnet": 64,
    "torchvision/vgg11_bn": 32,
    "torchvision/resnet18": 32,
    "torchvision/resnext50_32x4d": 32,
    "torchvision/wide_resnet50_2": 32,
    "torchvision/squeezenet1_1": 32,
    "torchvision/densenet121": 32,
    "torchvision/inception_v3": 75,
    "torchvision/googlenet": 32,
    "torchvision/shufflenet_v2_x0_5": 32,
    "torchvision/mobilenet_v2": 32,
    "torchvision/mobilenet_v3_small": 32,
    "torchvision/mnasnet0_5": 32,
    "torchvision/efficientnet_b0": 32,
    "torchvision/efficientnet_v2_s": 32,
    "torchvision/regnet_y_400mf": 32,
    "torchvision/convnext_tiny": 32,
    "torchvision/vit_b_32": 224,
    "torchvision/swin_t": 32,
    "torchvision/swin_v2_t": 32,
    "torchvision/maxvit_t": 224,
    "timm/resnet18": 32,
    "timm/mobilenetv3_small_050": 32,
    "timm/efficientnet_lite0": 32,
    "timm/ghostnet_050": 32,
    "timm/lcnet_050": 32,
    "timm/hardcorenas_a": 32,
    "timm/repvgg_a0": 32,
    "timm/fbnetc_100": 32,
    "timm/vit_tiny_patch16_224": 224,
    "timm/deit_tiny_patch16_224": 224,
    "timm/mobilevitv2_050": 64,
    "timm/convnext_atto": 32,
}
RATIO = 0.3


def attempt(what: Callable[[], Any]) -> dict[str, Any]:
    """The result, or the reason why there is none."""
    try:
        return {"ok": True, "value": what()}
    except EdgetuneError as problem:
        return {"ok": False, "reason": problem.message}
    except Exception as problem:  # noqa: BLE001 - libraries fail on odd networks in ways of their own
        return {"ok": False, "reason": f"unexpected {type(problem).__name__}: {problem}"[:300]}


def family(name: str, size: int) -> dict[str, Any]:
    """What came of pruning, exporting and quantizing one network."""
    example = torch.zeros(1, 3, size, size)
    rng = torch.Generator().manual_seed(0)
    batches = [(torch.randn(2, 3, size, size, generator=rng), torch.tensor([0, 1])) for _ in range(2)]
    scheme = load_target("x86-cpu", Path()).scheme

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        made = make_network(name, 5, {}).train()
        with torch.no_grad():  # batch norms that have seen nothing let the outputs of deep networks vanish
            for _ in range(3):
                made(torch.randn(4, 3, size, size, generator=rng))
        return made.eval()

    def prune() -> float:
        before = count_channels(network)
        head = head_modules(lambda classes: make_network(name, classes, {}), 5)
        options = PruneOptions(criterion="fisher", scope="global", channel_multiple=8, protected=head)
        prune_by_ratio(network, example, RATIO, options, batches)
        return count_channels(network) / before

    def pictures() -> list[Tensor]:
        return [images for images, _ in batches]

    def exported(path: Path, made: nn.Module) -> float:
        export_onnx(made, example, path, opset=20)
        parity = check_parity(made, path, pictures())
        return float(parity["mean_difference"] / max(parity["output_scale"], 1e-12))  # ViT's fresh head gives zeros

    network = fresh()
    pruned = attempt(prune)
    if not pruned["ok"]:
        network = fresh()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary)
        floating = attempt(lambda: exported(path / "float.onnx", network))
        int8 = attempt(lambda: exported(path / "int8.onnx", quantize(network, example, scheme, pictures)))
    return {"network": name, "pixels": size, "channels_left": pruned, "float": floating, "int8": int8}


def main() -> None:
    """Try every family, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(FAMILIES), default=list(FAMILIES))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in args.only:
        started = time.monotonic()
        rows.append(row := family(name, FAMILIES[name]))
        told = [
            f"{row[key]['value']:.2g}" if row[key]["ok"] else row[key]["reason"]
            for key in ("channels_left", "float", "int8")
        ]
        print(name, *told, f"{time.monotonic() - started:.0f} s", sep=" | ", flush=True)
    if args.only == list(FAMILIES):
        save("families", {"ratio": RATIO, "rows": rows})


if __name__ == "__main__":
    main()
