"""A small residual network that the benchmark trains itself: how much faster, at how much less accuracy?

    python benchmarks/compression/resnet18_signdigits.py --data DIR [--device cuda] [--seeds 0 1 2] [--quick]

ResNet-18 from random weights on signdigits (hand signs of ten digits) at 96 px, for x86-cpu, one thread. One ordinary
`edgetune build` a seed: prunings to half of every layer's channels and by measured latency, each recovered with
distillation, in float and in INT8. All engines of a build are timed interleaved in one session. Wanted: the chosen
engine at least 6 times as fast as float, at most 1.0 point below it on the test split.
"""

import argparse
from typing import Any

from units import Units, build, candidate_rows, dataset, parser, settle

RECIPE = """
seed = {seed}
[model]
name = "torchvision/resnet18"
pretrained = false
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
augmentation = "light"
[prune]
ratio = [0.5]
target_speedup = {speedups}
scope = "local"
step_epochs = {step_epochs}
recovery_epochs = {recovery_epochs}
[quantize]
mode = "ptq"
[budget]
max_accuracy_drop = 1.0
[bench]
min_runs = 400
"""


def unit(args: argparse.Namespace, data: str, seed: int) -> dict[str, Any]:
    """What one build gave."""
    options = {
        key: getattr(args, key) for key in ("image_size", "epochs", "speedups", "step_epochs", "recovery_epochs")
    }
    report = build(args.work / f"seed-{seed}", RECIPE.format(seed=seed, data=data, **options), "x86-cpu")
    target = report["targets"][0]
    return {
        "seed": seed,
        "chosen": target["chosen"],
        "rows": candidate_rows(target),
        "gates": report["gates"],
        "machine": report["environment"],
    }


def main() -> None:
    """Build with every seed, print and save."""
    own = parser(__doc__)
    own.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    own.add_argument("--image-size", type=int, default=96)
    own.add_argument("--epochs", type=int, default=60)
    own.add_argument("--step-epochs", type=int, default=2)
    own.add_argument("--recovery-epochs", type=int, default=30)
    own.add_argument("--speedups", type=float, nargs="+", default=[2.0, 2.5, 3.0])
    args = own.parse_args()
    quick = {"seeds": [0], "image_size": 32, "epochs": 1, "step_epochs": 0, "recovery_epochs": 1, "speedups": [1.5]}
    settle(args, "resnet18_signdigits", quick)
    data, units = str(dataset(args, "signdigits")), Units(args, which=("seeds",))
    for seed in args.seeds:
        made = units.get(f"seed-{seed}", lambda seed=seed: unit(args, data, seed))
        for row in made["rows"]:
            mark = "*" if row["name"] == made["chosen"] else " "
            faster = row["speedup"]["value"] if row["speedup"] else 1.0
            print(f"{mark} {seed} {row['name']:20}{row['test']:>8.1%}{faster:>8.2f}x{row['size_bytes'] / 1e6:>7.2f} MB")
    print(f"{units.path}")


if __name__ == "__main__":
    main()
