"""The learning-rate range test on the recipe's network and data."""

from dataclasses import replace

from edgetune.finetune.lr_find import range_test
from edgetune.finetune.strategies import auto
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext
from edgetune.steps.finetune import (
    class_counts,
    finetune_spec,
    start,
    train_options,
    training_examples,
    training_loss,
)


def run(context: StepContext) -> None:
    """Write ``lr_find.json``: the curve and the suggested rate."""
    spec, network, head, fresh = start(context)
    wanted = finetune_spec(context)
    if wanted.strategy == "auto":
        strategy, _ = auto.choose(class_counts(context), len(fresh), len(network.state_dict()))
        wanted = replace(wanted, strategy=strategy)
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
