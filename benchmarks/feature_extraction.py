"""The strategy feature-extraction against one forward pass over the same pictures.

    python benchmarks/feature_extraction.py --data DIR --device cpu

DIR holds clothing10 and mobilenet_v2_imagenet.safetensors, or folders with them. In every round both take their turn,
in random order, each with nothing decoded yet: the forward pass loads training and validation split through
edgetune's own loader and computes the logits of each batch, the strategy does all it does, the fitting of the head
included. Wanted: at most 1.3 times as long."""

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Units, find, use_device
from throughput import checked, training_loss

GOAL = 1.3


def fresh(args: argparse.Namespace, content: dict[str, Any]) -> tuple[Any, Any]:
    """The pretrained network, and the pictures with an empty cache."""
    import torch
    import torchvision
    from safetensors.torch import load_file

    from edgetune.data.images import DecodedImages
    from edgetune.data.index import DatasetIndex
    from edgetune.data.preprocessing import make_preprocessing, make_training_source
    from edgetune.steps.examples import ImageExamples

    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(load_file(find(args.data, "mobilenet_v2_imagenet.safetensors")))
    network.classifier[1] = torch.nn.Linear(1280, 10)
    index = replace(DatasetIndex.from_json(content), root=find(args.data, "clothing10"))
    if args.quick:
        index = replace(index, samples=index.samples[:: len(index.samples) // 200])
    examples = ImageExamples(
        training=DecodedImages(index, make_training_source(args.image_size), cache_mb=0),
        images=DecodedImages(index, make_preprocessing(args.image_size), cache_mb=4096),
        batch_size=32, augmentation="none", seed=0, workers=0,
    )  # fmt: skip
    return network, examples


def forward_pass(args: argparse.Namespace, content: dict[str, Any]) -> float:
    """Seconds to load both splits and compute their logits."""
    import torch

    network, examples = fresh(args, content)
    network.to(args.device, memory_format=torch.channels_last).eval()
    started = time.perf_counter()
    with torch.no_grad():
        for batches in (examples.plain(), examples.validation()):
            for images, _ in batches:
                logits = network(images.to(args.device, memory_format=torch.channels_last))
    logits.sum().item()
    return time.perf_counter() - started


def strategy(args: argparse.Namespace, content: dict[str, Any]) -> dict[str, float]:
    """Seconds of the whole training, and its accuracy on validation."""
    from edgetune.finetune.options import TrainOptions
    from edgetune.finetune.trainer import train
    from edgetune.progress import silent

    network, examples = fresh(args, content)
    options = TrainOptions(
        strategy="feature-extraction", epochs=1, learning_rate=1e-3, weight_decay=0.0, warmup_epochs=0.0,
        precision="fp32", seed=0,
    )  # fmt: skip
    head = frozenset({"classifier.1.weight", "classifier.1.bias"})
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        trained = train(network, options, examples, training_loss, Path(scratch), silent, head)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "val_accuracy": max(row["val_accuracy"] for row in trained.history)}


def one_round(args: argparse.Namespace, content: dict[str, Any], number: int) -> dict[str, Any]:
    """Both, in random order."""
    found: dict[str, Any] = {}
    order = ["forward_seconds", "strategy"]
    random.Random(number).shuffle(order)
    for name in order:
        found[name] = forward_pass(args, content) if name == "forward_seconds" else strategy(args, content)
    print(f"round {number + 1}: {found}", flush=True)
    return found


def main() -> None:
    """Run the rounds, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="200 pictures, 2 rounds")
    args = parser.parse_args()
    use_device(args.device)
    if args.quick:
        args.rounds = min(args.rounds, 2)
    output = args.output or Path(__file__).parent / f"results/feature_extraction_{args.device}.json"
    units = Units(output, {k: v for k, v in vars(args).items() if k not in ("data", "output", "rounds")})
    content = checked(find(args.data, "clothing10"))
    forward_pass(args, content)  # the files are in the system's cache for both, and libraries loaded
    rounds = [units.get(f"round {n}", lambda n=n: one_round(args, content, n)) for n in range(args.rounds)]
    ratios = [one["strategy"]["seconds"] / one["forward_seconds"] for one in rounds]
    ratio = statistics.median(ratios)
    units.write(summary={"ratio": ratio, "ratios": ratios, "goal": GOAL, "met": ratio <= GOAL})
    print(f"ratio {ratio:.2f} (wanted: at most {GOAL}); wrote {output}")


if __name__ == "__main__":
    main()
