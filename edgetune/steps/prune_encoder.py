"""Cut the encoder, then train what is left to imitate the whole one."""

import copy
import json

from edgetune.errors import PruningError
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import load_checkpoint, save_checkpoint
from edgetune.pruning.encoder import EncoderCosts, prune_encoder
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples
from edgetune.steps.prune import RANKING_SAMPLES, speedup_for
from edgetune.steps.recovery import accuracy, recover


def run(context: StepContext) -> None:
    """Write the pruned and recovered checkpoint and its history."""
    params = context.params
    spec, teacher, _ = load_checkpoint(context.inputs["network"], context.base)
    examples = make_examples(context, spec, params["batch_size"], "none")
    costs = EncoderCosts(**json.loads((context.inputs["latency"] / "costs.json").read_text(encoding="utf-8")))
    network = copy.deepcopy(teacher)
    samples = list(examples.calibration(RANKING_SAMPLES))
    wanted = params.get("target_latency_ms")
    speedup = params["target_speedup"] if wanted is None else speedup_for(wanted, costs.whole)
    history = prune_encoder(network, costs, speedup, params["channel_multiple"], samples)
    if not history:
        raise PruningError(f"a speed-up of {speedup:.3g} takes nothing away", hint="ask for more")
    steps = [{"step": 0, "val_accuracy": accuracy(teacher, examples)}]
    steps.append({"step": 1, "val_accuracy_pruned": accuracy(network, examples)})
    curve = recover(network, teacher, examples, params["recovery_epochs"], context, context.scratch, context.watch)
    steps[1]["val_accuracy"] = max([e["val_accuracy"] for e in curve], default=steps[1]["val_accuracy_pruned"])
    network.cpu().eval()
    save_checkpoint(context.out, spec, network, history)
    context.note("training.json").write_text(canonical_json({"history": curve}), encoding="utf-8")
    context.note("pruning.json").write_text(canonical_json({"steps": steps}), encoding="utf-8")
