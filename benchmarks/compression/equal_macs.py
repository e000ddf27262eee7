"""Pruning at equal MACs: accuracy after recovery, edgetune's way against torch-pruning's own magnitude pruner.

    python benchmarks/compression/equal_macs.py --data DIR --weights mobilenet_v2_imagenet.safetensors \\
        [--dataset clothing10 --seeds 0] [--device cuda] [--quick]

MobileNetV2 is fine-tuned once a seed by edgetune; each way of pruning starts from that network and has the same epochs,
optimizer, rate and batches to recover:

- ``edgetune``: Fisher score per MAC in three steps, batch norms recalibrated between, then distillation;
- ``torch-pruning``: its documented example (group magnitude L2, one shot, the same ratio of every layer, channels by
  8), then training with labels;
- ``torch-pruning+distillation``: the same network as the second, with edgetune's recovery: what the choice of channels
  alone makes out.

torch-pruning's ratio is the one that comes nearest to the share of the MACs that is asked for (channels by 8 make it
jump); edgetune is then given as many MACs as that network has, by a count of convolutions and linear layers alone. It
may end a little above or below; each row has its share.
Accuracy is that of the float network in PyTorch on the test split.
"""

import argparse
import copy
import itertools
import statistics
from pathlib import Path
from typing import Any

from units import Units, dataset, parser, settle

ARMS = ("edgetune", "torch-pruning", "torch-pruning+distillation")
SIZES = {"signdigits": 96, "clothing10": 160}
STEPS = 3
MULTIPLE = 8
RANKING_SAMPLES = 512
LABEL_SMOOTHING, DISTILLATION, TEMPERATURE = 0.1, 0.7, 2.0
RECIPE = """
seed = {seed}
[model]
name = "torchvision/mobilenet_v2"
weights = "{weights}"
[data]
path = "{data}"
image_size = {image_size}
[finetune]
epochs = {epochs}
augmentation = "light"
"""


class Job:
    """One seed: the fine-tuned network, the data, and what is done with them."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        """Fine-tune, or take what an earlier run has fine-tuned."""
        from edgetune import pipeline
        from edgetune.models.checkpoint import load_checkpoint
        from edgetune.models.head import head_modules
        from edgetune.plan import make_finetune_plan
        from edgetune.progress import Quiet, silent
        from edgetune.recipe import load_recipe
        from edgetune.steps.context import StepContext
        from edgetune.steps.examples import make_image_examples
        from edgetune.store import Store
        from edgetune.surroundings import look_around

        self.args, self.seed = args, seed
        folder = args.work / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        options = {"weights": args.weights.absolute(), "data": dataset(args, args.dataset)}
        options |= {"seed": seed, "image_size": args.image_size, "epochs": args.epochs}
        (folder / "edgetune.toml").write_text(RECIPE.format(**options), encoding="utf-8")
        recipe = load_recipe(folder)
        around = look_around(recipe, (), ())
        done = pipeline.run(make_finetune_plan(recipe, around.facts), Store(args.work / "store"), around, Quiet())
        self.folder = folder
        self.spec, self.network, _ = load_checkpoint(done["finetune"].artifact.path)
        self.head = head_modules(lambda classes: self.spec.make(num_classes=classes), self.spec.num_classes)
        context = StepContext(
            params={},
            inputs={"dataset": done["check-data"].artifact.path},
            out=folder,
            scratch=folder,
            seed=seed,
            tick=silent,
            base=folder,
            data=around.data,
            weights=None,
            cache_mb=recipe.data.cache_mb,
            workers=-1,
        )
        self.examples = make_image_examples(context, args.image_size, 32, "light")
        self.whole = self.macs(self.network)

    def macs(self, network: Any) -> float:
        """Multiplications of one picture, as torch-pruning counts them."""
        import torch_pruning as tp

        return float(tp.utils.count_ops_and_params(copy.deepcopy(network).cpu(), self.spec.example())[0])

    def test_accuracy(self, network: Any) -> float:
        """On the test split."""
        from edgetune.data.images import eval_loader
        from edgetune.finetune.evaluation import evaluate
        from edgetune.finetune.precision import choose_compute

        device = choose_compute("fp32").device
        found = evaluate(network.to(device), eval_loader(self.examples.images, "test", batch_size=32), device)[0]
        network.cpu()
        return found

    def edgetune_pruned(self, share: float) -> Any:
        """At most ``share`` of the MACs, in steps that each leave the same part."""
        from edgetune.pruning.recalibrate import recalibrate_batch_norms
        from edgetune.pruning.surgery import PruneOptions, latency_of, prune_to_latency

        network, example = copy.deepcopy(self.network), self.spec.example()
        costs = mac_costs(self.network, example)
        limit = latency_of(network, example, costs)
        options = PruneOptions(criterion="fisher", scope="global", channel_multiple=MULTIPLE, protected=self.head)
        for number in range(1, STEPS + 1):
            samples = self.examples.calibration(RANKING_SAMPLES)
            prune_to_latency(network, example, limit * share ** (number / STEPS), costs, options, samples)
            recalibrate_batch_norms(network, self.examples.calibration(RANKING_SAMPLES))
        return network

    def magnitude_pruned(self, share: float) -> tuple[Any, float]:
        """torch-pruning's example at the ratio that comes nearest to ``share`` of the MACs, and that ratio."""
        low, high = 0.0, 0.95
        for _ in range(12):
            ratio = (low + high) / 2
            low, high = (ratio, high) if self.macs(self._magnitude(ratio)) >= share * self.whole else (low, ratio)
        made = [(self._magnitude(ratio), ratio) for ratio in (low, high)]
        return min(made, key=lambda pair: abs(self.macs(pair[0]) / self.whole - share))

    def _magnitude(self, ratio: float) -> Any:
        import torch_pruning as tp

        network = copy.deepcopy(self.network)
        pruner = tp.pruner.BasePruner(
            network,
            self.spec.example(),
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=[network.get_submodule(name) for name in self.head],
            round_to=MULTIPLE,
        )
        pruner.step()
        return network

    def recovered(self, network: Any, name: str, distilled: bool) -> dict[str, Any]:
        """Train, with labels alone or with the unpruned network's outputs too; what came of it."""
        import torch

        from edgetune.finetune.options import TrainOptions
        from edgetune.finetune.trainer import train
        from edgetune.progress import silent
        from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of

        teacher = copy.deepcopy(self.network).eval().requires_grad_(False)

        def loss(model: Any, images: Any, labels: Any) -> Any:
            logits = logits_of(model(images))
            hard = cross_entropy(logits, labels, LABEL_SMOOTHING)
            if not distilled:
                return hard
            with torch.no_grad():
                wanted = logits_of(teacher.to(images.device)(images))
            return (1.0 - DISTILLATION) * hard + DISTILLATION * distillation(logits, wanted, TEMPERATURE)

        options = TrainOptions(
            strategy="full",
            epochs=self.args.recovery_epochs,
            learning_rate=self.args.learning_rate,
            weight_decay=0.05,
            warmup_epochs=0.5,
            precision="fp32",
            seed=self.seed,
        )
        row = {"macs_share": self.macs(network) / self.whole, "test_before": self.test_accuracy(network)}
        work = self.folder / name
        work.mkdir(exist_ok=True)
        trained = train(network, options, self.examples, loss, work, silent)
        row |= {"val": max(epoch["val_accuracy"] for epoch in trained.history), "test": self.test_accuracy(network)}
        return row

    def unit(self, share: float, arm: str) -> dict[str, Any]:
        """One network pruned and recovered."""
        network, ratio = self.magnitude_pruned(share)
        if arm == "edgetune":
            network, ratio = self.edgetune_pruned(self.macs(network) / self.whole), None
        made = self.recovered(network, f"{share:g}-{arm}", arm != "torch-pruning")
        return {"seed": self.seed, "share": share, "arm": arm, "ratio": ratio, **made}


def mac_costs(network: Any, example: Any) -> dict[str, Any]:
    """Each layer's MACs at any width, in the form of measured times: a table of two points a side is exact."""
    from edgetune.measure.layer_latency import LayerTimes
    from edgetune.pruning.shapes import layer_shapes

    found = {}
    for name, shape in layer_shapes(network, example).items():
        pixels = -(-shape.height // shape.stride[0]) * -(-shape.width // shape.stride[1])
        most = shape.inputs // shape.groups * shape.outputs * shape.kernel[0] * shape.kernel[1] * pixels / 1e6
        table = ((0.0,), (most,)) if shape.depthwise else ((0.0, 0.0), (0.0, most))
        outputs = () if shape.depthwise else (0, shape.outputs)
        found[name] = LayerTimes(inputs=(0, shape.inputs), outputs=outputs, ms=table)
    return found


def summary(rows: list[dict[str, Any]], shares: list[float]) -> list[dict[str, Any]]:
    """Means over seeds: one line for each share and way."""
    lines = []
    for share, arm in itertools.product(shares, ARMS):
        mine = [row for row in rows if row["share"] == share and row["arm"] == arm]
        if mine:
            means = {key: statistics.mean(row[key] for row in mine) for key in ("macs_share", "test", "test_before")}
            spread = [min(row["test"] for row in mine), max(row["test"] for row in mine)]
            lines.append({"share": share, "arm": arm, "seeds": len(mine), **means, "test_range": spread})
    return lines


def main() -> None:
    """Prune and recover every unit, print and save."""
    own = parser(__doc__)
    own.add_argument("--weights", type=Path, required=True)
    own.add_argument("--dataset", choices=sorted(SIZES), default="signdigits")
    own.add_argument("--image-size", type=int)
    own.add_argument("--epochs", type=int, default=8)
    own.add_argument("--recovery-epochs", type=int, default=6)
    own.add_argument("--learning-rate", type=float, default=5e-4)
    own.add_argument("--shares", type=float, nargs="+", default=[0.7, 0.5, 0.3], help="of the MACs, that are left")
    own.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = own.parse_args()
    args.image_size = args.image_size or SIZES[args.dataset]
    quick = {"image_size": 32, "epochs": 1, "recovery_epochs": 1, "shares": [0.5], "seeds": [0]}
    settle(args, f"equal_macs_{args.dataset}", quick)
    units = Units(args, which=("shares", "seeds"))
    for seed in args.seeds:
        job = None
        for share, arm in itertools.product(args.shares, ARMS):
            key = f"{seed}-{share:g}-{arm}"
            if key not in units.done:
                job = job or Job(args, seed)
                if f"{seed}-unpruned" not in units.done:
                    units.get(f"{seed}-unpruned", lambda job=job: {"test": job.test_accuracy(job.network)})
            row = units.get(key, lambda job=job, share=share, arm=arm: job.unit(share, arm))
            print(f"{seed} {arm:28}{row['macs_share']:>7.1%} MACs {row['test']:>7.1%}", flush=True)
    rows = [row for row in units.done.values() if "arm" in row]
    units.write(summary=summary(rows, sorted({row["share"] for row in rows}, reverse=True)))
    for line in summary(rows, args.shares):
        print(f"{line['arm']:28}{line['macs_share']:>7.1%} MACs {line['test']:>7.1%} ({line['seeds']} seeds)")


if __name__ == "__main__":
    main()
