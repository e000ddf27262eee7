"""How long each layer of the fine-tuned network takes on this machine, at the widths pruning may leave it."""

from edgetune.hashing import canonical_json
from edgetune.measure.layer_latency import time_layers
from edgetune.models.checkpoint import load_checkpoint
from edgetune.pruning.shapes import layer_shapes
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``layers.json``: {module name: times in ms}."""
    params = context.params
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    times = time_layers(
        layer_shapes(network, spec.example()),
        multiple=params["channel_multiple"],
        activation=params["activation"],
        opset=params["opset"],
        session=context.session(),
        seed=context.seed,
        progress=context.tick,
        device=context.device,
    )
    content = {name: layer.to_json() for name, layer in times.items()}
    (context.out / "layers.json").write_text(canonical_json(content), encoding="utf-8")
