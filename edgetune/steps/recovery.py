"""Training around pruning: what is left imitates the unpruned network, or channels that will go are made small."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from edgetune.errors import PruningError
from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.stages import stage_ends
from edgetune.finetune.state import saved_step
from edgetune.finetune.trainer import train
from edgetune.finetune.update import Loss
from edgetune.progress import Watch, unwatched
from edgetune.pruning.attention_transfer import attention_transfer, recorded
from edgetune.pruning.sparsity import Penalty
from edgetune.steps.context import StepContext
from edgetune.steps.examples import Examples
from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of


def recover(
    network: nn.Module,
    teacher: nn.Module,
    examples: Examples,
    epochs: int,
    context: StepContext,
    work: Path,
    watch: Watch = unwatched,
) -> list[dict[str, float]]:
    """Train with labels and the teacher's outputs (Hinton et al. 2015); returns the curve, of which ``watch`` is told.

    Raises:
        PruningError: the teacher gives other classes, or maps of another size.
    """
    work.mkdir(exist_ok=True)
    if epochs == 0:
        return []
    with _imitation(network, teacher, context) as loss:
        return train(network, _options(epochs, context), examples, loss, work, context.tick, watch=watch).history


def make_sparse(
    network: nn.Module, teacher: nn.Module, examples: Examples, penalty: Penalty, context: StepContext, work: Path
) -> list[dict[str, float]]:
    """Train as ``recover`` does, with ``penalty`` added to the loss; the network is that of the last epoch."""
    work.mkdir(exist_ok=True)
    options = _options(context.params["sparsity_epochs"], context, keep_best=False)
    done = saved_step(work) / (options.epochs * examples.steps_per_epoch)

    def tick(step: int, total: int, text: str = "") -> None:
        nonlocal done
        done = step / total
        context.tick(step, total, text)

    with _imitation(network, teacher, context) as imitation:

        def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            return imitation(model, images, labels) + penalty(done)

        return train(network, options, examples, loss, work, tick).history


def accuracy(network: nn.Module, examples: Examples) -> float:
    """On validation, in float32; leaves the network on the CPU in eval mode."""
    device = choose_compute("fp32").device
    found, _ = evaluate(network.to(device), examples.validation(), device)
    network.cpu()
    return found


def _options(epochs: int, context: StepContext, keep_best: bool = True) -> TrainOptions:
    params = context.params
    return TrainOptions(
        strategy="full",
        epochs=epochs,
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_epochs=params["warmup_epochs"],
        precision=params["precision"],
        seed=context.seed,
        micro_batch=params["micro_batch"],
        keep_best=keep_best,
    )


@contextmanager
def _imitation(network: nn.Module, teacher: nn.Module, context: StepContext) -> Iterator[Loss]:
    """Cross-entropy, the teacher's logits and, where the recipe says so, what its stages look at."""
    params = context.params
    weight, temperature = float(params["distillation_weight"]), float(params["distillation_temperature"])
    features = float(params.get("feature_distillation", 0.0))
    teacher = teacher.eval().requires_grad_(False)
    with ExitStack() as hooks:
        if features:
            ends = stage_ends(teacher)
            ours, theirs = (hooks.enter_context(recorded(made, ends)) for made in (network, teacher))

        def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            logits = logits_of(model(images))
            hard = cross_entropy(logits, labels, params["label_smoothing"])
            if weight == 0.0 and features == 0.0:
                return hard
            with torch.no_grad():
                wanted = logits_of(teacher.to(images.device)(images))
            if wanted.shape != logits.shape:
                raise PruningError(
                    f"the network to imitate gives outputs of shape {list(wanted.shape)}, the pruned one of "
                    f"{list(logits.shape)}",
                    hint="both must have the same classes; is the factory in `[model] name` the same as before?",
                )
            total = (1.0 - weight) * hard + weight * distillation(logits, wanted, temperature)
            return total + features * attention_transfer(ours, theirs) if features else total

        yield loss
