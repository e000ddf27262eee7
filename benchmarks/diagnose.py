"""What `edgetune diagnose` finds where 8 bits fail: a network whose weights get one scale each, and an encoder.

    python benchmarks/diagnose.py --weights mobilenet_v2_imagenet.safetensors --data signdigits.tar
    python benchmarks/diagnose.py --weights all-MiniLM-L6-v2 --data rt_polarity

Fine-tunes MobileNetV2 on pictures (a .tar of train/ val/ test/ folders of classes), or an encoder (``--weights`` is its
folder) on texts (``--data`` is a folder of CSV files), and diagnoses it for x86-cpu and for a target of the benchmark's
own with one scale a weight, in 8 bits and, for texts, in 7.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from common import PER_TENSOR, save

PICTURES = """
[model]
name = "torchvision/mobilenet_v2"
weights = "{weights}"
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
augmentation = "light"
"""
TEXTS = """
[model]
name = "transformers/encoder"
weights = "{weights}"
[data]
path = "{data}"
max_length = 64
allow_leaks = true
[finetune]
epochs = {epochs}
"""


def diagnose(folder: Path, target: str, samples: int) -> dict[str, Any]:
    """The diagnosis for ``target``."""
    command = [sys.executable, "-m", "edgetune", "diagnose", "--json", "--cache-dir", "store"]
    command += ["--target", target, "--samples", str(samples)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    del found["files"]
    return found


def main() -> None:
    """Diagnose for all targets, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="a file, or an encoder's folder")
    parser.add_argument("--data", type=Path, required=True, help="a .tar of pictures, or a folder of texts")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, help="(default: 4, of texts 2)")
    parser.add_argument("--samples", type=int, default=320)
    args = parser.parse_args()
    texts = args.weights.is_dir()
    args.epochs = args.epochs or (2 if texts else 4)
    targets = {"per-tensor.toml": PER_TENSOR}
    if texts:
        targets["per-tensor-7-bits.toml"] = f"{PER_TENSOR}reduce_range = true\n"
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not texts:
            with tarfile.open(args.data) as archive:
                archive.extractall(folder, filter="data")
        options = {"weights": args.weights.absolute(), "data": args.data.absolute() if texts else args.data.stem}
        options |= {"image_size": args.image_size, "epochs": args.epochs}
        (folder / "edgetune.toml").write_text((TEXTS if texts else PICTURES).format(**options))
        for name, text in targets.items():
            (folder / name).write_text(text)
        for target in ("x86-cpu", *targets):
            found.append(diagnose(folder, target, args.samples))
            for trial in found[-1]["trials"]:
                print(found[-1]["target"].ljust(18), trial["change"].ljust(26), f"{trial['outcome']['accuracy']:.1%}")
    settings = {key: value.name if isinstance(value, Path) else value for key, value in vars(args).items()}
    save(f"diagnose_{args.data.stem}", {"settings": settings, "diagnoses": found})


if __name__ == "__main__":
    main()
