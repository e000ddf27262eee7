"""Training around pruning: what is left imitates the unpruned network, or channels that will go are made small."""

from pathlib import Path

from torch import Tensor, nn

from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.precision import choose_compute
from edgetune.finetune.state import saved_step
from edgetune.finetune.trainer import train
from edgetune.progress import Watch, unwatched
from edgetune.pruning.sparsity import Penalty
from edgetune.steps.context import StepContext
from edgetune.steps.examples import Examples
from edgetune.steps.imitation import imitation


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
    with imitation(network, teacher, context) as loss:
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

    with imitation(network, teacher, context) as imitated:

        def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            return imitated(model, images, labels) + penalty(done)

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
