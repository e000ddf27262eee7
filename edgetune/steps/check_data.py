"""Read every sample once: what is broken, how big it is, which split it is in."""

from edgetune.data.index import build_index
from edgetune.hashing import canonical_json
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``dataset.json``; where the data lies is left out, so that moving it retrains nothing."""
    index = build_index(
        context.data,
        val_fraction=context.params["val_fraction"],
        test_fraction=context.params["test_fraction"],
        on_bad_file=context.params["on_bad_file"],
        seed=context.seed,
        progress=context.tick,
    )
    content = {**index.to_json(), "root": "."}
    (context.out / "dataset.json").write_text(canonical_json(content), encoding="utf-8")
