"""Peak memory of calibrating on 64 and on 2,048 pictures: it should not grow with their number.

    python benchmarks/calibration_memory.py

MobileNetV2 at 96 px, pictures made as they are asked for, each number of samples in a fresh process; peak resident
memory as the operating system counts it. Wanted: within 10 %.
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import torch
from common import save
from torch import Tensor

from edgetune.models.zoo import make_network
from edgetune.quantization.quantize import quantize
from edgetune.quantization.ranges import METHODS
from edgetune.records import QuantizationScheme

SIDE, BATCH = 96, 32
SAMPLES = (64, 2048)


def peak_bytes(samples: int, method: str) -> int:
    """Calibrate in this process; the most memory it ever held."""
    torch.manual_seed(0)
    network = make_network("torchvision/mobilenet_v2", 10, {}).eval()

    def pictures() -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(1)
        return (torch.randn(BATCH, 3, SIDE, SIDE, generator=rng) for _ in range(samples // BATCH))

    scheme = QuantizationScheme(activation="uint8")
    quantize(network, torch.zeros(1, 3, SIDE, SIDE), scheme, pictures, calibration=method, repair=("bias-correction",))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure each number in a process of its own, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="mse")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # what a child process is for
    args = parser.parse_args()
    if args.one:
        print(json.dumps(peak_bytes(args.one, args.method)))
        return
    found = {}
    for samples in SAMPLES:
        command = [sys.executable, __file__, "--method", args.method, "--one", str(samples)]
        found[samples] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{samples} samples: {found[samples] / 1e6:.0f} MB")
    ratio = found[SAMPLES[1]] / found[SAMPLES[0]]
    print(f"ratio: {ratio:.3f}")
    save("calibration_memory", {"method": args.method, "peak_rss_bytes": found, "ratio": ratio})


if __name__ == "__main__":
    main()
