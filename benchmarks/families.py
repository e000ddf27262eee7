"""Which families of networks are pruned, exported and quantized: one of each of torchvision's, and twelve of timm's.

    python benchmarks/families.py [--only NAME ...] [--again]

With random weights, and at the smallest pictures each takes. A family that something does not work for stands in the
result with the reason. What runs is checked: ONNX Runtime's outputs against torch's (of INT8: against the fake-quant
graph's), the mean difference as a share of the outputs' standard deviation; and the pruned network, saved and loaded
again, gives the same bits. Each network has a process of its own, which is given up after ``--seconds`` of computing;
the result is saved after each, and what stands in it is not tried again unless ``--again`` says so.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import RESULTS, environment, save

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
RESULT = "families"
STAGES = ("channels_left", "reloaded", "float", "int8")


def attempt(what: Callable[[], Any]) -> dict[str, Any]:
    """The result, or the reason why there is none."""
    from edgetune.errors import EdgetuneError

    try:
        return {"ok": True, "value": what()}
    except EdgetuneError as problem:
        return {"ok": False, "reason": problem.message}
    except Exception as problem:  # noqa: BLE001 - libraries fail on odd networks in ways of their own
        return {"ok": False, "reason": f"unexpected {type(problem).__name__}: {problem}"[:300]}


def family(name: str, size: int) -> dict[str, Any]:
    """What came of pruning, exporting and quantizing one network."""
    import torch
    from torch import Tensor, nn

    from edgetune.export.onnx_export import export_onnx
    from edgetune.export.parity import check_parity
    from edgetune.models.checkpoint import NetworkSpec, load_checkpoint, save_checkpoint
    from edgetune.models.head import head_modules
    from edgetune.pruning.surgery import PruneOptions, count_channels, prune_by_ratio
    from edgetune.quantization.quantize import quantize
    from edgetune.target import load_target

    spec = NetworkSpec(name=name, num_classes=5, image_size=size, args={})
    example, rng = spec.example(), torch.Generator().manual_seed(0)
    batches = [(torch.randn(2, 3, size, size, generator=rng), torch.tensor([0, 1])) for _ in range(2)]
    scheme = load_target("x86-cpu", Path()).scheme

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        made = spec.make().train()
        for module in head_modules(lambda classes: spec.make(num_classes=classes), 5):
            if not made.get_submodule(module).weight.any():  # ViT: all outputs would be zero and show nothing
                nn.init.normal_(made.get_submodule(module).weight, std=0.02)
        with torch.no_grad():  # batch norms that have seen nothing let the outputs of deep networks vanish
            for _ in range(3):
                made(torch.randn(4, 3, size, size, generator=rng))
        return made.eval()

    def prune() -> float:
        before = count_channels(network)
        head = head_modules(lambda classes: spec.make(num_classes=classes), 5)
        options = PruneOptions(criterion="fisher", scope="global", channel_multiple=8, protected=head)
        history.extend(prune_by_ratio(network, example, RATIO, options, batches))
        return count_channels(network) / before

    def reloaded(folder: Path) -> bool:
        save_checkpoint(folder, spec, network, history)
        return torch.equal(load_checkpoint(folder)[1](batches[0][0]), network(batches[0][0]))

    def pictures() -> list[Tensor]:
        return [images for images, _ in batches]

    def exported(path: Path, made: nn.Module) -> float:
        export_onnx(made, example, path, opset=20)
        parity = check_parity(made, path, pictures())
        return float(parity["mean_difference"] / max(parity["output_scale"], 1e-12))

    network, history = fresh(), list[tuple[str, bool, list[int]]]()
    row: dict[str, Any] = {"network": name, "pixels": size, "channels_left": attempt(prune)}
    if not row["channels_left"]["ok"]:
        network, history = fresh(), []
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary)
        row["reloaded"] = attempt(lambda: reloaded(path))
        row["float"] = attempt(lambda: exported(path / "float.onnx", network))
        row["int8"] = attempt(lambda: exported(path / "int8.onnx", quantize(network, example, scheme, pictures)))
    return row


def in_a_process(name: str, seconds: float) -> dict[str, Any]:
    """``family`` in a process that is ended after ``seconds`` of computing: those do not depend on what runs beside."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return row
    reason = f"its process ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
    if done.returncode == -signal.SIGXCPU:
        reason = f"not done after {seconds:.0f} s of computing"
    failed = {"ok": False, "reason": reason[:300]}
    return {"network": name, "pixels": FAMILIES[name], **dict.fromkeys(STAGES, failed)}


def told(row: dict[str, Any]) -> list[str]:
    """What came of each stage, in short."""
    return [f"{row[key]['value']:.2g}" if row[key]["ok"] else row[key]["reason"] for key in STAGES]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as docs/pruning.md shows them, and what was not tried."""
    lines = ["| network, pixels | channels left | loads again to the bit | float, difference | INT8, difference |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        pruned, again, floating, int8 = (row[key] for key in STAGES)
        cells = [
            f"{pruned['value']:.0%}" if pruned["ok"] else pruned["reason"],
            ("yes" if again["value"] else "no") if again["ok"] else again["reason"],
            *(f"{one['value']:.0e}" if one["ok"] else one["reason"] for one in (floating, int8)),
        ]
        shown = " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
        lines.append(f"| `{row['network']}`, {row['pixels']} | {shown} |")
    missing = [f"`{name}`" for name in FAMILIES if name not in {row["network"] for row in rows}]
    return "\n".join([*lines, *(["", f"Not tried yet: {', '.join(missing)}."] if missing else [])])


def main() -> None:
    """Try every family that has no row yet, print and save after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--again", action="store_true", help="also those that have a row")
    parser.add_argument("--seconds", type=float, default=300.0, help="of computing, for one network")
    parser.add_argument("--table", action="store_true", help="print what was found, for docs/pruning.md")
    parser.add_argument("--one", choices=sorted(FAMILIES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        resource.setrlimit(resource.RLIMIT_CPU, (int(args.seconds), int(args.seconds) + 10))
        warnings.simplefilter("ignore")
        print(json.dumps(family(args.one, FAMILIES[args.one])))
        return
    path = RESULTS / f"{RESULT}.json"
    rows = {row["network"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    if args.table:
        print(table([rows[known] for known in FAMILIES if known in rows]))
        return
    for name in args.only:
        if name in rows and not args.again:
            continue
        started = time.monotonic()
        row = in_a_process(name, args.seconds)
        row |= {"seconds": round(time.monotonic() - started, 1), "commit": environment()["commit"]}
        rows[name] = row
        print(name, *told(row), f"{row['seconds']:.0f} s", sep=" | ", flush=True)
        save(RESULT, {"ratio": RATIO, "rows": [rows[known] for known in FAMILIES if known in rows]})


if __name__ == "__main__":
    main()
