"""Networks that are hard for INT8, with hard-swish or SiLU and squeeze-and-excitation: does INT8 win, and by how much?

    python benchmarks/compression/gated_networks.py --data DIR [--device cuda] [--quick]

MobileNetV3-Large and EfficientNet-B0 from random weights on signdigits (hand signs of ten digits), for x86-cpu, one
thread. One `edgetune build` each, without pruning, the way to INT8 left to the controller. Engines are timed
interleaved. Wanted: the engine that ships is never slower than float, and the report says which rung won and why.
"""

import argparse
from typing import Any

from units import Units, build, candidate_rows, dataset, parser, settle

RECIPE = """
[model]
name = "torchvision/{network}"
pretrained = false
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
augmentation = "light"
[prune]
target_speedup = []
[budget]
max_accuracy_drop = 1.0
[bench]
min_runs = 400
"""


def unit(args: argparse.Namespace, data: str, network: str) -> dict[str, Any]:
    """What one build gave."""
    options = {key: getattr(args, key) for key in ("image_size", "epochs")}
    report = build(args.work / network, RECIPE.format(network=network, data=data, **options), "x86-cpu")
    target = report["targets"][0]
    rows = candidate_rows(target)
    for row in rows:  # percentiles are enough
        row["latency_ms"] = {key: row["latency_ms"][key] for key in ("p50", "p90", "n")}
    return {
        "network": network,
        "chosen": target["chosen"],
        "reason": target["reason"],
        "rungs": (target.get("controller") or {}).get("summary"),
        "rows": rows,
        "machine": report["environment"],
    }


def main() -> None:
    """Build each network, print and save."""
    own = parser(__doc__)
    own.add_argument("--networks", nargs="+", default=["mobilenet_v3_large", "efficientnet_b0"])
    own.add_argument("--image-size", type=int, default=96)
    own.add_argument("--epochs", type=int, default=40)
    args = own.parse_args()
    settle(args, "gated_networks", {"networks": ["mobilenet_v3_large"], "image_size": 32, "epochs": 1})
    data, units = str(dataset(args, "signdigits")), Units(args, which=("networks",))
    for network in args.networks:
        made = units.get(network, lambda network=network: unit(args, data, network))
        for row in made["rows"]:
            mark = "*" if row["name"] == made["chosen"] else " "
            speedup = (
                ""
                if row["speedup"] is None
                else "{value:.2f}x ({ci95[0]:.2f} to {ci95[1]:.2f})".format(**row["speedup"])
            )
            print(
                f"{mark} {network:20}{row['name']:16}{row['test']:>8.1%} {speedup:24}{row['size_bytes'] / 1e6:.2f} MB"
            )
    print(f"{units.path}")


if __name__ == "__main__":
    main()
