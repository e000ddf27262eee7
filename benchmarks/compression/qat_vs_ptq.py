"""Is quantization-aware training ever worse than calibration? Seeds on signdigits at 96 px, and any other data set.

    python benchmarks/compression/qat_vs_ptq.py --data DIR --weights mobilenet_v2_imagenet.safetensors \\
        [--dataset clothing10 --seeds 0] [--device cuda] [--quick]
    python benchmarks/compression/qat_vs_ptq.py --data DIR --weights all-MiniLM-L6-v2 --dataset rt_polarity --seeds 0

One `edgetune build` a seed with `[quantize] mode = "qat"`, without pruning, for x86-cpu and for a target of the
benchmark's own whose weights have one scale for the whole tensor, where calibration suffers most. What is calibrated of
an encoder are dynamic ranges. Wanted: never worse than calibration beyond the noise (an exact paired test over the test
split of all seeds), and at least half of its loss recovered where that loss is above 1 point.
"""

import argparse
from pathlib import Path
from typing import Any

from units import PER_TENSOR, Units, build, candidate_rows, dataset, parser, settle

SIZES = {"signdigits": 96, "clothing10": 160}  # pixels
EPOCHS = {"signdigits": (8, 2), "clothing10": (8, 2), "rt_polarity": (4, 2), "banking77": (6, 2)}  # in float, in 8 bits
RATES = {"rt_polarity": 1e-4, "banking77": 2e-4}
TARGETS = ("x86-cpu", "per-tensor")
WORTH_POINTS = 1.0  # of calibration's loss, from which on half of it is to be recovered
RECIPE = """
seed = {seed}
[model]
name = "{model}"
weights = "{weights}"
[data]
path = "{data}"
{inputs}
[finetune]
epochs = {epochs}
{training}
[prune]
target_speedup = []
[quantize]
mode = "qat"
epochs = {qat_epochs}
[bench]
min_runs = 100
min_seconds = 0.5
"""


def unit(args: argparse.Namespace, data: Path, seed: int) -> dict[str, Any]:
    """What one build gave: {target: rows of candidates}."""
    folder = args.work / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "per-tensor.toml").write_text(PER_TENSOR, encoding="utf-8")
    where = {"weights": args.weights.absolute(), "data": data}
    options = {"seed": seed, "epochs": args.epochs, "qat_epochs": args.qat_epochs}
    if args.dataset in RATES:
        options |= {"model": "transformers/all-MiniLM-L6-v2", "inputs": "max_length = 64\nallow_leaks = true"}
        options["training"] = f"learning_rate = {RATES[args.dataset]}"
    else:
        options |= {"model": "torchvision/mobilenet_v2", "inputs": f"image_size = {args.image_size}"}
        options["training"] = 'augmentation = "light"'
    report = build(folder, RECIPE.format(**where, **options), "x86-cpu", "per-tensor.toml")
    run = folder / "runs" / report["run"]
    rows = {target["target"]: candidate_rows(target) for target in report["targets"]}
    return {"seed": seed, **rows, "pairs": {name: pairs(run, name) for name in rows}}


def pairs(run: Path, target: str) -> dict[str, int]:
    """On the test split: what training lost and won against calibration, and of how many."""
    from edgetune.compare.predictions import read_predictions

    found = read_predictions(run / "predictions" / f"{target}.json", target)
    trained, calibrated = (found.engines[name].answer == found.truth for name in ("int8-qat", "int8"))
    return {
        "lost": int((calibrated & ~trained).sum()),
        "won": int((trained & ~calibrated).sum()),
        "n": len(found.truth),
    }


def verdict(units: list[dict[str, Any]], target: str) -> dict[str, Any]:
    """Over all seeds: mean test accuracies, and what training gave back of what calibration lost."""
    means = {
        name: sum(row["test"] for unit in units for row in unit[target] if row["name"] == name) / len(units)
        for name in ("float", "int8", "int8-qat")
    }
    from edgetune.measure.statistics import mcnemar_p, paired_interval

    lost = 100 * (means["float"] - means["int8"])
    counts = {key: sum(unit["pairs"][target][key] for unit in units) for key in ("lost", "won", "n")}
    interval = [100 * end for end in paired_interval(counts["lost"], counts["won"], counts["n"])]
    gained = 100 * (means["int8-qat"] - means["int8"])
    return {
        "target": target,
        "seeds": len(units),
        **means,
        "calibration_lost_points": lost,
        "training_gave_back_points": gained,
        "ci95": interval,
        "mcnemar_p": mcnemar_p(counts["lost"], counts["won"]),
        "never_worse_beyond_noise": interval[1] >= 0,
        "half_recovered": gained >= lost / 2 if lost > WORTH_POINTS else None,
    }


def main() -> None:
    """Build with every seed, print and save."""
    own = parser(__doc__)
    own.add_argument("--weights", type=Path, required=True)
    own.add_argument("--dataset", choices=sorted(EPOCHS), default="signdigits")
    own.add_argument("--image-size", type=int, help="in pixels, of pictures")
    own.add_argument("--epochs", type=int, help="in float (default: by data set)")
    own.add_argument("--qat-epochs", type=int, help="of quantization-aware training (default: 2)")
    own.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = own.parse_args()
    args.image_size = args.image_size or SIZES.get(args.dataset)
    floating, quantized = EPOCHS[args.dataset]
    args.epochs, args.qat_epochs = args.epochs or floating, args.qat_epochs or quantized
    settle(args, f"qat_vs_ptq_{args.dataset}", {"image_size": 32, "epochs": 1, "qat_epochs": 1, "seeds": [0]})
    data, units = dataset(args, args.dataset), Units(args, which=("seeds",))
    for seed in args.seeds:
        made = units.get(f"seed-{seed}", lambda seed=seed: unit(args, data, seed))
        for target in TARGETS:
            told = [f"{row['name']} {row['test']:.1%}" for row in made[target]]
            print(seed, target.ljust(12), *told, sep="  ", flush=True)
    verdicts = [verdict(list(units.done.values()), target) for target in TARGETS]
    units.write(verdicts=verdicts)
    for line in verdicts:
        print(f"{line['target']:12} lost {line['calibration_lost_points']:+.2f}, given back", end=" ")
        print(f"{line['training_gave_back_points']:+.2f} points over {line['seeds']} seeds")


if __name__ == "__main__":
    main()
