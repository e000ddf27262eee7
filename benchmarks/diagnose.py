"""What `edgetune diagnose` finds where calibration fails: a network whose weights get one scale each.

    python benchmarks/diagnose.py --weights mobilenet_v2_imagenet.safetensors --images signdigits.tar

Fine-tunes MobileNetV2 and diagnoses it for x86-cpu and for a target of the benchmark's own with one scale a weight.
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
from qat import PER_TENSOR

RECIPE = """
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
    """Diagnose for both targets, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a .tar of train/ val/ test/ folders of classes")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--samples", type=int, default=320)
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with tarfile.open(args.images) as archive:
            archive.extractall(folder, filter="data")
        options = {"weights": args.weights.absolute(), "data": args.images.stem}
        options |= {"image_size": args.image_size, "epochs": args.epochs}
        (folder / "edgetune.toml").write_text(RECIPE.format(**options))
        (folder / "per-tensor.toml").write_text(PER_TENSOR)
        for target in ("x86-cpu", "per-tensor.toml"):
            found.append(diagnose(folder, target, args.samples))
            for trial in found[-1]["trials"]:
                print(found[-1]["target"].ljust(12), trial["change"].ljust(26), f"{trial['outcome']['accuracy']:.1%}")
    settings = {key: value.name if isinstance(value, Path) else value for key, value in vars(args).items()}
    save(f"diagnose_{args.images.stem}", {"settings": settings, "diagnoses": found})


if __name__ == "__main__":
    main()
