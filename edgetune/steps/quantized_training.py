"""Train with the rounding in place, imitating the float network; shared by the steps that do."""

import torch
from torch import nn

from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.trainer import train
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec
from edgetune.models.tensors import load_tensors
from edgetune.quantization.qat import QuantizedNetwork
from edgetune.steps.context import StepContext
from edgetune.steps.examples import EVAL_BATCH, make_examples
from edgetune.steps.imitation import imitation


def train_quantized(network: QuantizedNetwork, teacher: nn.Module, spec: NetworkSpec, context: StepContext) -> None:
    """Train ``network`` on the CPU or a GPU, leave it on the CPU and note the curve.

    What training does not better on validation stays as it was.
    """
    params = context.params
    plain = make_examples(context, spec, EVAL_BATCH, "none")
    before, _ = evaluate(network, plain.validation(), torch.device("cpu"))
    start = {key: value.detach().clone() for key, value in network.state_dict().items()}
    options = TrainOptions(
        strategy="full",
        epochs=params["epochs"],
        learning_rate=params["learning_rate"],
        weight_decay=0.0,
        warmup_epochs=params["warmup_epochs"],
        precision="fp32",  # rounding is what is learned: no other may be added
        seed=context.seed,
        micro_batch=params["micro_batch"],
    )
    examples = make_examples(context, spec, params["batch_size"], params["augmentation"])
    with imitation(network, teacher, context) as loss:
        trained = train(network, options, examples, loss, context.scratch, context.tick)
    network.cpu()
    after = trained.history[trained.best_epoch - 1]["val_accuracy"]
    if after < before:
        load_tensors(network, start)
    curve = {"history": trained.history, "calibrated_val_accuracy": before, "kept": after >= before}
    context.note("training.json").write_text(canonical_json(curve), encoding="utf-8")
