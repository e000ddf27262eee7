"""The learning-rate range test on the recipe's network and data."""

from edgetune.finetune.lr_find import range_test
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext
from edgetune.steps.finetune import (
    finetune_spec,
    settled,
    start,
    train_options,
    training_examples,
    training_loss,
)


def run(context: StepContext) -> None:
    """Write ``lr_find.json``: the curve and the suggested rate."""
    spec, network, head, fresh = start(context)
    wanted, _ = settled(finetune_spec(context), context, network, head, fresh)
    test = range_test(
        network,
        train_options(wanted, context.seed),
        training_examples(context, wanted, spec),
        training_loss(context, wanted),
        context.tick,
        lowest=context.params["lowest"],
        highest=context.params["highest"],
        steps=context.params["steps"],
        head=head,
    )
    (context.out / "lr_find.json").write_text(canonical_json(test.to_json()), encoding="utf-8")
