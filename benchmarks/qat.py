"""Quantization-aware training against calibration, on the arithmetic that suffers most: one scale for a whole weight.

    python benchmarks/qat.py --weights mobilenet_v2_imagenet.safetensors --images signdigits.tar --seeds 0 1 2

One `edgetune build` a seed with `[quantize] mode = "qat"`, for x86-cpu and for a target of the benchmark's own whose
weights have one scale for the whole tensor; both without pruning. Wanted: never worse than calibration beyond the
noise, and half of its loss recovered where that loss is above 1 point.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from common import save

RECIPE = """
seed = {seed}
[model]
name = "torchvision/mobilenet_v2"
weights = "{weights}"
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
augmentation = "light"
[prune]
target_speedup = []
[quantize]
mode = "qat"
epochs = {qat_epochs}
[bench]
min_runs = 100
min_seconds = 0.5
"""
PER_TENSOR = """
extends = "x86-cpu"
[scheme]
per_channel = false
"""


def build(folder: Path, recipe: str) -> dict[str, Any]:
    """The report of a build for both targets."""
    (folder / "edgetune.toml").write_text(recipe)
    (folder / "per-tensor.toml").write_text(PER_TENSOR)
    command = [sys.executable, "-m", "edgetune", "build", "--json", "--cache-dir", "store"]
    command += ["--target", "x86-cpu", "--target", "per-tensor.toml"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        sys.exit(done.returncode)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """Build with every seed, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a .tar of train/ val/ test/ folders of classes")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--qat-epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with tarfile.open(args.images) as archive:
            archive.extractall(folder, filter="data")
        for seed in args.seeds:
            options = {
                "seed": seed,
                "weights": args.weights.absolute(),
                "data": args.images.stem,
                "image_size": args.image_size,
                "epochs": args.epochs,
                "qat_epochs": args.qat_epochs,
            }
            report = build(folder, RECIPE.format(**options))
            for target in report["targets"]:
                for candidate in target["candidates"]:
                    row = {"seed": seed, "target": target["target"], "name": candidate["name"]}
                    row |= {"test": candidate["metrics"]["accuracy"], "val": candidate["selection"]["accuracy"]}
                    row["change"] = candidate["accuracy_change"]
                    rows.append(row)
                    print(
                        seed, target["target"].ljust(12), candidate["name"].ljust(10), f"{row['test']:.1%}", flush=True
                    )
    settings = {key: value.name if isinstance(value, Path) else value for key, value in vars(args).items()}
    save(f"qat_{args.images.stem}", {"settings": settings, "rows": rows})


if __name__ == "__main__":
    main()
