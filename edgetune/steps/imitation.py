"""The loss of a network that learns from labels and from the one it was made of, after pruning or with rounding."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from edgetune.errors import PruningError
from edgetune.finetune.stages import stage_ends
from edgetune.finetune.update import Loss
from edgetune.pruning.attention_transfer import attention_transfer, recorded
from edgetune.steps.context import StepContext
from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of


@contextmanager
def imitation(network: nn.Module, teacher: nn.Module, context: StepContext) -> Iterator[Loss]:
    """Cross-entropy, the teacher's logits (Hinton et al. 2015) and, where the recipe says so, what its stages look at.

    The loss raises a PruningError where the teacher gives other classes, or maps of another size.
    """
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
