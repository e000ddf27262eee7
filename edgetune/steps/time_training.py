"""How long the recipe's fine-tuning will take, from a few timed batches."""

from edgetune.finetune.timing import time_training
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext
from edgetune.steps.finetune import finetune_spec, settled, start, train_options, training_examples, training_loss


def run(context: StepContext) -> None:
    """Write ``timing.json``."""
    spec, network, head, fresh = start(context)
    wanted, _ = settled(finetune_spec(context), context, network, head, fresh)
    timing = time_training(
        network,
        train_options(wanted, context.seed),
        training_examples(context, wanted, spec),
        training_loss(context, wanted),
        context.tick,
        head,
    )
    (context.out / "timing.json").write_text(canonical_json(timing.to_json()), encoding="utf-8")
