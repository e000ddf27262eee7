"""Images per second of edgetune's training loop against hand-written ones of the same network, batch and precision.

    python benchmarks/throughput.py --data DIR --device cuda --output benchmarks/results/throughput_cuda.json

DIR holds clothing10 (folders train/<class>/), or a folder with it; the networks start at random. Two comparisons:

* the loop: batches of real pictures that are normalised already, from memory, so that nothing but the loop counts.
  The loops take turns in random order, each round in a fresh network. "minimal" is forward, backward and a fused
  AdamW step and never looks at the loss; "torchvision" does what train_one_epoch of torchvision's reference does at
  each step (loss and accuracy are read); "timm" takes timm's optimizer, loss scaler and meter and logs every 50
  steps, as its train.py does.
* an epoch with loading: edgetune's loader and loop against torchvision's ImageFolder, a DataLoader with as many
  workers and the same augmentation, and the minimal loop. The first epoch decodes the files; edgetune keeps them
  decoded.

Wanted: the ratio to the minimal loop is at least 0.97. On a GPU ``torch.compile`` is tried, too, and its notes kept.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import Units, find, use_device

GOAL = 0.97
SMOOTHING, RATE, DECAY = 0.1, 1e-3, 0.05


@dataclass(frozen=True)
class Memory:
    """Batches in memory as ``Examples``; validation is one of them."""

    batches: list[Any]
    times: int = 1  # each is gone through in an epoch

    @property
    def samples(self) -> int:
        return self.times * sum(len(labels) for _, labels in self.batches)

    @property
    def steps_per_epoch(self) -> int:
        return self.times * len(self.batches)

    def shared(self, rank: int, processes: int) -> "Memory":
        raise NotImplementedError("one process")

    def train(self, epoch: int, start_batch: int) -> Iterator[Any]:
        for number in range(start_batch, self.steps_per_epoch):
            yield self.batches[number % len(self.batches)]

    def plain(self) -> Iterable[Any]:
        return self.batches

    def validation(self) -> Iterable[Any]:
        return self.batches[:1]


def make_network(args: argparse.Namespace) -> Any:
    """A fresh network, on the device."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(args.model, num_classes=10)
    return network.to(args.device, memory_format=torch.channels_last).train()


def training_loss(model: Any, images: Any, labels: Any) -> Any:
    """What every loop minimises."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(model(images).float(), labels, label_smoothing=SMOOTHING)


def ours(args: argparse.Namespace, examples: Any, epochs: int = 1, compiling: str = "never") -> Any:
    """edgetune's loop; returns what it tells of the training."""
    from edgetune.finetune.options import TrainOptions
    from edgetune.finetune.trainer import train
    from edgetune.progress import silent

    options = TrainOptions(
        strategy="full", epochs=epochs, learning_rate=RATE, weight_decay=DECAY, warmup_epochs=0.0,
        precision=args.precision, seed=0, compile=compiling,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        return train(make_network(args), options, examples, training_loss, Path(scratch), silent)


def autocast(args: argparse.Namespace) -> Any:
    """Mixed precision as asked for."""
    import torch

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(args.device, dtype=kinds.get(args.precision), enabled=args.precision in kinds)


def minimal(args: argparse.Namespace, network: Any, batches: Iterable[Any], optimizer: Any = None) -> None:
    """The shortest loop that trains."""
    import torch

    optimizer = optimizer or torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    scaler = torch.amp.GradScaler(enabled=args.precision == "fp16")
    for images, labels in batches:
        images = images.to(args.device, memory_format=torch.channels_last, non_blocking=True)
        labels = labels.to(args.device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with autocast(args):
            loss = training_loss(network, images, labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def like_torchvision(args: argparse.Namespace, network: Any, batches: Iterable[Any]) -> None:
    """train_one_epoch of references/classification/train.py: it reads loss and accuracy after every step."""
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    scaler = torch.amp.GradScaler(enabled=args.precision == "fp16")
    meters: dict[str, list[float]] = {"loss": [], "acc1": [], "acc5": []}
    for images, labels in batches:
        images, labels = images.to(args.device), labels.to(args.device)
        with autocast(args):
            output = network(images)
            loss = torch.nn.functional.cross_entropy(output.float(), labels, label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        with torch.inference_mode():
            right = output.topk(5, 1)[1].t().eq(labels[None])
            meters["acc1"].append(right[:1].flatten().sum(dtype=torch.float32).item())
            meters["acc5"].append(right.flatten().sum(dtype=torch.float32).item())
        meters["loss"].append(loss.item())


def like_timm(args: argparse.Namespace, network: Any, batches: Iterable[Any]) -> None:
    """train_one_epoch of timm's train.py, from timm's own parts."""
    import torch
    from timm.optim import create_optimizer_v2
    from timm.utils import AverageMeter, NativeScaler

    optimizer = create_optimizer_v2(network, opt="adamw", lr=RATE, weight_decay=DECAY)
    scaler = NativeScaler(device=args.device) if args.precision == "fp16" else None
    meter = AverageMeter()
    for number, (images, labels) in enumerate(batches):
        images = images.to(args.device, memory_format=torch.channels_last)
        labels = labels.to(args.device)
        with autocast(args):
            loss = training_loss(network, images, labels)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler(loss, optimizer, parameters=network.parameters())
        optimizer.zero_grad()
        if number % 50 == 0:
            meter.update(loss.item(), len(labels))
        if args.device == "cuda":
            torch.cuda.synchronize()  # as train.py does after each update


def wait(args: argparse.Namespace) -> None:
    """Until the device has computed everything."""
    import torch

    if args.device == "cuda":
        torch.cuda.synchronize()


def seconds_of(args: argparse.Namespace, loop: Callable[..., None], examples: Memory) -> float:
    """Of an epoch of a hand-written loop, in a fresh network."""
    network = make_network(args)
    wait(args)
    started = time.perf_counter()
    loop(args, network, examples.train(0, 0))
    wait(args)
    return time.perf_counter() - started


def compare_loops(args: argparse.Namespace, examples: Memory) -> dict[str, Any]:
    """Seconds of an epoch in each loop and round; ours without validation and saving, as the others have none."""
    import torch

    torch.backends.cudnn.benchmark = True
    loops: dict[str, Callable[[], float]] = {
        "edgetune": lambda: float(ours(args, examples).history[0]["seconds"]),
        "minimal": lambda: seconds_of(args, minimal, examples),
    }
    if args.device == "cuda" or args.all_loops:
        loops["torchvision"] = lambda: seconds_of(args, like_torchvision, examples)
        loops["timm"] = lambda: seconds_of(args, like_timm, examples)
    few = replace(examples, times=1)
    ours(args, few)
    minimal(args, make_network(args), few.train(0, 0))  # both have met their shapes
    found: dict[str, list[float]] = {name: [] for name in loops}
    order, rng = list(loops), random.Random(0)
    for number in range(args.rounds):
        rng.shuffle(order)
        for name in order:
            found[name].append(loops[name]())
        told = ", ".join(f"{name} {examples.samples / found[name][-1]:.1f}" for name in loops)
        print(f"round {number + 1} of {args.rounds}: {told} images per second", flush=True)
    return {"images": examples.samples, "seconds": found}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Images per second, and the ratio of edgetune's to each other loop's, paired by round."""
    seconds, rng = found["seconds"], np.random.default_rng(0)
    rates = {name: found["images"] / statistics.median(values) for name, values in seconds.items()}
    ratios = {}
    for name in seconds:
        if name == "edgetune":
            continue
        paired = np.asarray(seconds[name]) / np.asarray(seconds["edgetune"])
        drawn = np.median(rng.choice(paired, (10_000, len(paired))), axis=1)
        ratios[name] = {"value": float(np.median(paired)), "ci95": np.quantile(drawn, [0.025, 0.975]).tolist()}
    return {"images_per_second": rates, "ratio": ratios, "goal": GOAL, "met": ratios["minimal"]["value"] >= GOAL}


def loading_epochs(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds of each epoch, files to weights: ours (validation apart), then ImageFolder's with the minimal loop."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from edgetune.data.images import DecodedImages
    from edgetune.data.index import DatasetIndex
    from edgetune.data.preprocessing import make_preprocessing, make_training_source
    from edgetune.steps.examples import ImageExamples

    index = DatasetIndex.from_json(checked(folder))
    index = replace(index, root=folder)
    examples = ImageExamples(
        training=DecodedImages(index, make_training_source(args.image_size), cache_mb=8192),
        images=DecodedImages(index, make_preprocessing(args.image_size), cache_mb=8192),
        batch_size=args.batch_size, augmentation="standard", seed=0, workers=args.workers,
        device=torch.device(args.device),
    )  # fmt: skip
    history = ours(args, examples, epochs=args.epochs).history
    steps = [v2.RandomResizedCrop(args.image_size, scale=(0.35, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    steps += [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    loader: DataLoader[Any] = DataLoader(
        ImageFolder(folder / "train", v2.Compose(steps)), args.batch_size, shuffle=True, num_workers=args.workers,
        pin_memory=args.device == "cuda", persistent_workers=args.workers > 0, drop_last=True,
    )  # fmt: skip
    network, theirs = make_network(args), []
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    for _ in range(args.epochs):
        started = time.perf_counter()
        minimal(args, network, loader, optimizer)
        wait(args)
        theirs.append(time.perf_counter() - started)
    return {
        "images": examples.samples,
        "workers": args.workers,
        "edgetune_seconds": [row["seconds"] for row in history],
        "edgetune_waiting_for_data_seconds": [row["data_wait_seconds"] for row in history],
        "edgetune_validation_seconds": [row["validation_seconds"] for row in history],
        "image_folder_seconds": theirs,
    }


def checked(folder: Path) -> dict[str, Any]:
    """The dataset as the first step of a build sees it."""
    import json

    from edgetune import pipeline
    from edgetune.api.building import make_build_plan
    from edgetune.progress import Quiet
    from edgetune.store import Store

    with tempfile.TemporaryDirectory() as temporary:
        recipe = Path(temporary) / "edgetune.toml"
        recipe.write_text(f'[model]\nname = "torchvision/mobilenet_v2"\n[data]\npath = {json.dumps(str(folder))}\n')
        plan, surroundings = make_build_plan(recipe, None)
        steps = tuple(step for step in plan.steps if step.name == "check_data")
        plan = replace(plan, steps=steps, candidates=())
        outcomes = pipeline.run(plan, Store(Path(temporary) / "store"), surroundings, Quiet())
        artifact = outcomes["check-data"].artifact
        assert artifact is not None
        content: dict[str, Any] = json.loads((artifact.path / "dataset.json").read_text())
        return content


def in_memory(args: argparse.Namespace, folder: Path) -> Memory:
    """Batches of real pictures, normalised, in pinned memory beside a GPU."""
    import torch
    from PIL import Image

    paths = sorted((folder / "train").glob("*/*"))
    random.Random(0).shuffle(paths)
    batches, classes = [], sorted(path.name for path in (folder / "train").iterdir())
    for start in range(0, args.batches * args.batch_size, args.batch_size):
        chosen = [paths[number % len(paths)] for number in range(start, start + args.batch_size)]
        side = (args.image_size, args.image_size)
        pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize(side)) for path in chosen])
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.226
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.tensor([classes.index(path.parent.name) for path in chosen])
        batches.append((images.pin_memory(), labels.pin_memory()) if args.device == "cuda" else (images, labels))
    return Memory(batches, args.times)


def arguments() -> argparse.Namespace:
    """The command line; quick makes it a smoke test of minutes on two cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--model", default="mobilenet_v2", help="of torchvision")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--batches", type=int, help="in memory")
    parser.add_argument("--times", type=int, help="that an epoch goes through them")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--epochs", type=int, default=3, help="with loading; 0: leave this part out")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--all-loops", action="store_true", help="torchvision's and timm's on a CPU, too")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    gpu = args.device == "cuda"
    usual = {
        "image_size": 224 if gpu else 96, "batch_size": 64 if gpu else 32, "precision": "bf16" if gpu else "fp32",
        "batches": 16 if gpu else 4, "times": 8 if gpu else 2, "rounds": 15 if gpu else 9, "workers": 8 if gpu else 0,
    }  # fmt: skip
    if args.quick:
        usual |= {"batches": 2, "times": 1, "rounds": 2}
        args.epochs = min(args.epochs, 0 if not gpu else 1)
    for name, value in usual.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.output = args.output or Path(__file__).parent / f"results/throughput_{args.device}.json"
    return args


def main() -> None:
    """Compare the loops, then whole epochs, then what compiling does; print and save."""
    args = arguments()
    use_device(args.device)
    folder = find(args.data, "clothing10")
    settings = {k: v for k, v in vars(args).items() if k not in ("data", "output")}
    units = Units(args.output, settings)
    examples = in_memory(args, folder)
    told = summary(units.get("loops", lambda: compare_loops(args, examples)))
    for name, ratio in told["ratio"].items():
        print(f"edgetune against {name}: {ratio['value']:.3f} ({ratio['ci95'][0]:.3f} to {ratio['ci95'][1]:.3f})")
    if args.epochs:
        print(units.get("epochs", lambda: loading_epochs(args, folder)))
    if args.device == "cuda":
        print(units.get("compiled", lambda: ours(args, examples, compiling="always").compilation))
    units.write(summary=told)
    print(f"wrote {args.output}; the goal of {GOAL} is {'met' if told['met'] else 'NOT met'}")


if __name__ == "__main__":
    main()
