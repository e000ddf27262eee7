"""Each fine-tuning strategy on real photos: test accuracy, time and memory in one table.

    python benchmarks/strategies.py --data DIR --device cuda --output benchmarks/results/strategies_cuda.json

DIR holds signdigits, clothing10 and mobilenet_v2_imagenet.safetensors, or folders with them. signdigits is learned at
96 px with three seeds, clothing10 at 224 px (on a CPU 160) with one. Every run is the first two steps of a build; on
a CPU it has a process of its own, and memory is that process's peak, on a GPU all share one and memory is the GPU's
peak. Accuracy is that of the float network in PyTorch on the test split; time is the fine-tuning step's, without the
check of the data. ``--per-class`` keeps only so many training images of each class, to see what little data asks for.

What the strategies are held against is fitted here, too: logistic regression (scikit-learn) on the frozen network's
features at 224 px, its strength chosen on validation. Wanted: the best strategy (of those listed, by validation)
beats it by 3 points on clothing10 and by 5 on signdigits, where half the training images count (as in the goal's 91.6
%)."""

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Units, find, use_device

WEIGHTS = "mobilenet_v2_imagenet.safetensors"
DATASETS: dict[str, dict[str, Any]] = {
    "signdigits": {"image_size": 96, "seeds": (0, 1, 2), "published": 0.916, "goal_points": 5.0, "share": 0.5},
    "clothing10": {"image_size": 224, "seeds": (0,), "published": 0.887, "goal_points": 3.0, "share": 1.0},
}
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of the logistic regression
OPTIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "full, layer_decay 0.9": {"layer_decay": 0.9},
    "full, batch_norm frozen": {"batch_norm": "frozen"},
    "full, l2_sp": {"l2_sp": 0.05},
    "full, ema": {"ema": 0.999},
    "full, strong": {"augmentation": "strong"},
    "full, mixup and cutmix": {"mixup": 0.2, "cutmix": 1.0},
    "partial, 1 stage": {"strategy": "partial", "stages": 1},
    "partial, 3 stages": {"strategy": "partial", "stages": 3},
    "partial, 8 stages": {"strategy": "partial", "stages": 8},
    "gradual": {"strategy": "gradual"},
    "feature-extraction": {"strategy": "feature-extraction"},
    "auto": {"strategy": "auto"},
    "full, 20 epochs, strong, ema": {"epochs": 20, "augmentation": "strong", "ema": 0.99},
}


def recipe(args: argparse.Namespace, folder: Path, size: int, options: dict[str, Any], seed: int) -> str:
    """The text of one run's recipe."""
    finetune = {
        "epochs": args.epochs,
        "learning_rate": args.learning_rate,
        "augmentation": args.augmentation,
        **options,
    }
    if args.quick:
        finetune["epochs"] = 1
    return "\n".join(
        [
            f"seed = {seed}",
            "[model]",
            f"name = {json.dumps(args.model)}",
            f"weights = {json.dumps(str(find(args.data, args.weights)))}",
            "[data]",
            f"path = {json.dumps(str(folder))}",
            f"image_size = {size}",
            "[finetune]",
            *(f"{key} = {json.dumps(value)}" for key, value in finetune.items()),
        ]
    )


def run(text: str, store: Path) -> dict[str, Any]:
    """Check the data and fine-tune, in this process."""
    import torch

    from edgetune import pipeline
    from edgetune.api.building import make_build_plan
    from edgetune.data.images import DecodedImages, eval_loader
    from edgetune.data.index import DatasetIndex
    from edgetune.data.preprocessing import make_preprocessing
    from edgetune.finetune.evaluation import evaluate
    from edgetune.finetune.precision import choose_compute
    from edgetune.models.checkpoint import load_checkpoint
    from edgetune.progress import Quiet
    from edgetune.store import Store

    path = store.parent / "edgetune.toml"
    path.write_text(text, encoding="utf-8")
    plan, surroundings = make_build_plan(path, None)
    steps = tuple(step for step in plan.steps if step.name in ("check_data", "finetune"))
    plan = replace(plan, steps=steps, candidates=())
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    outcomes = pipeline.run(plan, Store(store), surroundings, Quiet())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    folders = {name: outcome.artifact.path for name, outcome in outcomes.items() if outcome.artifact is not None}
    index = DatasetIndex.from_json(json.loads((folders["check-data"] / "dataset.json").read_text()))
    index = replace(index, root=surroundings.data)
    images = DecodedImages(index, make_preprocessing(plan.recipe.data.image_size), cache_mb=0)
    device = choose_compute("fp32").device
    _, network, _ = load_checkpoint(folders["finetune"])
    accuracy, _ = evaluate(network.to(device), eval_loader(images, "test", batch_size=32), device)
    notes = json.loads((folders["finetune"] / "notes/training.json").read_text())
    return {
        "test_accuracy": accuracy,
        "val_accuracy": max(row["val_accuracy"] for row in notes["history"]),
        "seconds": outcomes["finetune"].seconds,
        "peak_rss_bytes": None if gpu is not None else memory,
        "peak_gpu_bytes": gpu,
        "precision": notes["precision"],
        "strategy": notes["strategy"],
        "reason": notes["reason"],
    }


def into(text: str, store: Path, queue: Any) -> None:
    """``run``, with its result put into ``queue``."""
    queue.put(run(text, store))


def in_a_process(text: str, store: Path) -> dict[str, Any]:
    """``run`` in a fresh process, so that its peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=into, args=(text, store, queue))
    process.start()
    while queue.empty():
        if not process.is_alive() and queue.empty():
            raise SystemExit(f"a run failed with exit code {process.exitcode}")
        time.sleep(0.1)
    result: dict[str, Any] = queue.get()
    process.join()
    return result


def logistic_regression(args: argparse.Namespace, folder: Path, share: float) -> dict[str, float]:
    """Frozen features at 224 px and scikit-learn's regression on ``share`` of the training images."""
    import numpy as np
    import torch
    import torchvision
    from safetensors.torch import load_file
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from throughput import checked

    from edgetune.data.images import DecodedImages, eval_loader
    from edgetune.data.index import DatasetIndex
    from edgetune.data.preprocessing import make_preprocessing

    started = time.perf_counter()
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(load_file(find(args.data, args.weights)))
    network.classifier = torch.nn.Identity()
    device = "cuda" if args.device == "cuda" else "cpu"
    network.to(device, memory_format=torch.channels_last).eval()
    index = replace(DatasetIndex.from_json(checked(folder)), root=folder)
    images = DecodedImages(index, make_preprocessing(224), cache_mb=0)
    features, labels = {}, {}
    with torch.inference_mode():
        for split in ("train", "val", "test"):
            found = [(network(x.to(device)).cpu(), y) for x, y in eval_loader(images, split, batch_size=32)]
            features[split] = torch.cat([x for x, _ in found]).numpy()
            labels[split] = torch.cat([y for _, y in found]).numpy()
    chosen = np.random.default_rng(0).permutation(len(labels["train"]))[: round(share * len(labels["train"]))]
    scaler = StandardScaler().fit(features["train"][chosen])
    scaled = {split: scaler.transform(values) for split, values in features.items()}
    fits = [
        LogisticRegression(C=c, max_iter=2000).fit(scaled["train"][chosen], labels["train"][chosen]) for c in STRENGTHS
    ]
    best = max(fits, key=lambda fit: fit.score(scaled["val"], labels["val"]))
    return {
        "share_of_training_images": share,
        "C": best.C,
        "val_accuracy": best.score(scaled["val"], labels["val"]),
        "test_accuracy": best.score(scaled["test"], labels["test"]),
        "seconds": time.perf_counter() - started,
    }


def copied(folder: Path, target: Path, per_class: int | None) -> Path:
    """The dataset, with the first ``per_class`` training images of each class."""
    shutil.copytree(folder, target)
    for place in (target / "train").iterdir():
        for path in sorted(place.iterdir())[per_class:] if per_class else ():
            path.unlink()
    return target


def row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table: means over seeds, and how far accuracy spreads."""
    accuracies = [result["test_accuracy"] for result in runs]
    peaks = [result["peak_gpu_bytes"] or result["peak_rss_bytes"] for result in runs]
    return {
        "name": name,
        "test_accuracy": statistics.mean(accuracies),
        "test_accuracy_spread": max(accuracies) - min(accuracies),
        "val_accuracy": statistics.mean(result["val_accuracy"] for result in runs),
        "seconds": statistics.mean(result["seconds"] for result in runs),
        "peak_mb": max(peaks) / 1e6,
    }


def table(args: argparse.Namespace, name: str, units: Units) -> dict[str, Any]:
    """All strategies on one dataset, each run a unit of its own."""
    about = DATASETS[name]
    size = args.image_size or (160 if args.device == "cpu" and name == "clothing10" else about["image_size"])
    seeds = args.seeds or about["seeds"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(find(args.data, name), Path(temporary) / name, args.per_class)
        shares = sorted({1.0, about["share"]})
        print(f"{name} at {size} px")
        print(f"{'strategy':30}{'test accuracy':>14}{'spread':>8}{'seconds':>9}{'memory':>10}")
        rows = []
        for option in args.only:
            runs = []
            for seed in seeds:
                text = recipe(args, folder, size, OPTIONS[option], seed)
                start = run if args.device == "cuda" else in_a_process
                store = Path(temporary) / "store"
                runs.append(units.get(f"{name}: {option}, seed {seed}", lambda s=start, t=text, p=store: s(t, p)))
            rows.append(row(option, runs))
            last = rows[-1]
            accuracy, spread = f"{100 * last['test_accuracy']:.1f} %", f"{100 * last['test_accuracy_spread']:.1f}"
            print(f"{option:30}{accuracy:>14}{spread:>8}{last['seconds']:>9.1f}{last['peak_mb']:>7.0f} MB", flush=True)
        base = [
            units.get(
                f"{name}: logistic regression, {share}", lambda share=share: logistic_regression(args, folder, share)
            )
            for share in shares
        ]
        print(f"logistic regression: {[round(one['test_accuracy'], 4) for one in base]}")
    best = max(rows, key=lambda one: float(one["val_accuracy"]))
    mine = next(one for one in base if one["share_of_training_images"] == about["share"])
    points = {
        "over the published regression": 100 * (best["test_accuracy"] - about["published"]),
        "over the regression here": 100 * (best["test_accuracy"] - mine["test_accuracy"]),
    }
    return {
        "rows": rows,
        "regression": base,
        "best_on_validation": best["name"],
        "points": points,
        "goal": about["goal_points"],
    }


def main() -> None:
    """Run every strategy with every seed, print the tables, save them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", default=WEIGHTS, help="a file in DIR")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--model", default="torchvision/mobilenet_v2")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--augmentation", default="light")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the usual ones")
    parser.add_argument("--image-size", type=int, help="pixels, instead of the usual ones")
    parser.add_argument("--per-class", type=int, help="keep only so many training images of each class")
    parser.add_argument("--only", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument(
        "--quick", action="store_true", help="10 images of each class, one epoch, one seed, two strategies"
    )
    args = parser.parse_args()
    use_device(args.device)
    if args.quick:
        args.per_class, args.seeds, args.only = 10, [0], ["partial, 1 stage", "feature-extraction"]
    output = args.output or Path(__file__).parent / f"results/strategies_{args.device}.json"
    kept = ("model", "weights", "device", "epochs", "learning_rate", "augmentation", "per_class", "quick")
    settings = {key: getattr(args, key) for key in kept}
    units = Units(output, settings | ({"image_size": args.image_size} if args.image_size else {}))
    told = {name: table(args, name, units) for name in args.datasets}
    units.write(summary=told)
    for name, one in told.items():
        points = ", ".join(f"{value:+.1f} points {what}" for what, value in one["points"].items())
        print(f"{name}: best on validation {one['best_on_validation']}: {points} (wanted {one['goal']:+.1f})")
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
