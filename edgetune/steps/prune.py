"""Take channels out, then train what is left to imitate the unpruned network."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from edgetune.errors import PruningError
from edgetune.finetune.trainer import TrainOptions, train
from edgetune.hashing import canonical_json
from edgetune.measure.layer_latency import LayerTimes
from edgetune.models.checkpoint import NetworkSpec, PruningHistory, load_checkpoint, save_checkpoint
from edgetune.models.head import head_modules
from edgetune.pruning.recalibrate import recalibrate_batch_norms
from edgetune.pruning.surgery import PruneOptions, count_channels, latency_of, prune_by_ratio, prune_to_latency
from edgetune.steps.context import StepContext
from edgetune.steps.examples import Examples, make_examples
from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of

FINISHED = "finished"  # stands in the folder of a pruning step whose checkpoint is whole
RANKING_SAMPLES = 512  # training images that criteria look at

Surgery = Callable[[nn.Module, int], PruningHistory]
"""(network, number of the step from 1) -> what was removed."""


def run(context: StepContext) -> None:
    """Write the pruned and recovered checkpoint and its history."""
    params = context.params
    spec, teacher, _ = load_checkpoint(context.inputs["network"], context.base)
    examples = make_examples(context, spec, params["batch_size"], params["augmentation"])
    network, history, curve = copy.deepcopy(teacher), PruningHistory(), []
    steps, surgery = params["steps"], _surgery(context, spec, teacher, examples)
    finished = [number for number in range(1, steps) if (context.scratch / f"step-{number}" / FINISHED).exists()]
    if finished:  # by a run that was interrupted later
        _, network, history = load_checkpoint(context.scratch / f"step-{finished[-1]}", context.base)
    for number in range(1 + max(finished, default=0), steps + 1):
        last = number == steps
        work = context.scratch / f"step-{number}"
        network.cpu()
        torch.manual_seed(context.seed + number)  # for the random criterion, also after an interruption
        history = history + surgery(network, number)
        if last and not history:
            asked = f"ratio of {params['ratio']}" if params["ratio"] is not None else "speed-up"
            raise PruningError(
                f"the {asked} removes nothing once channels are rounded to {params['channel_multiple']}",
                hint="ask for more",
            )
        recalibrate_batch_norms(network, examples.calibration(RANKING_SAMPLES))
        epochs = params["recovery_epochs"] if last else params["step_epochs"]
        curve += recover(network, teacher, examples, epochs, context, work)
        if not last:
            save_checkpoint(work, spec, network, history)
            (work / FINISHED).touch()
        shutil.rmtree(context.scratch / f"step-{number - 1}", ignore_errors=True)
    network.cpu().eval()
    save_checkpoint(context.out, spec, network, history)
    context.note("training.json").write_text(canonical_json({"history": curve}), encoding="utf-8")


def _surgery(context: StepContext, spec: NetworkSpec, teacher: nn.Module, examples: Examples) -> Surgery:
    """Each step takes an equal share of what is left, so that the last one arrives at what was asked for.

    What rounding has taken beyond a step's share is not taken again by the next.
    """
    params = context.params
    head = head_modules(lambda classes: spec.make(context.base, classes), spec.num_classes)
    options = PruneOptions(
        criterion=params["criterion"],
        scope=params["scope"],
        channel_multiple=params["channel_multiple"],
        protected=(*head, *params["protect"]),
    )
    example, steps = spec.example(), params["steps"]
    if params["target_speedup"] is None:
        channels = count_channels(teacher)

        def by_ratio(network: nn.Module, number: int) -> PruningHistory:
            left = channels * (1.0 - params["ratio"]) ** (number / steps)
            share = 1.0 - left / count_channels(network)
            if share <= 0.0:
                return []
            return prune_by_ratio(network, example, share, options, examples.calibration(RANKING_SAMPLES))

        return by_ratio
    layers = json.loads((context.inputs["latency"] / "layers.json").read_text(encoding="utf-8"))
    times = {name: LayerTimes.from_json(content) for name, content in layers.items()}
    whole_ms = latency_of(teacher, example, times)
    return lambda network, number: prune_to_latency(
        network,
        example,
        whole_ms / params["target_speedup"] ** (number / steps),
        times,
        options,
        examples.calibration(RANKING_SAMPLES),
    )


def recover(
    network: nn.Module, teacher: nn.Module, examples: Examples, epochs: int, context: StepContext, work: Path
) -> list[dict[str, float]]:
    """Train with labels and the teacher's outputs (Hinton et al. 2015); returns the curve."""
    work.mkdir(exist_ok=True)
    if epochs == 0:
        return []
    params = context.params
    weight, temperature = float(params["distillation_weight"]), float(params["distillation_temperature"])
    teacher = teacher.eval().requires_grad_(False)

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        logits = logits_of(model(images))
        hard = cross_entropy(logits, labels, params["label_smoothing"])
        if weight == 0.0:
            return hard
        with torch.no_grad():
            wanted = logits_of(teacher.to(images.device)(images))
        return (1.0 - weight) * hard + weight * distillation(logits, wanted, temperature)

    options = TrainOptions(
        strategy="full",
        epochs=epochs,
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_epochs=params["warmup_epochs"],
        precision=params["precision"],
        seed=context.seed,
        micro_batch=params["micro_batch"],
    )
    return train(network, options, examples, loss, work, context.tick).history
