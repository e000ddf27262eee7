"""Checkpoint -> calibrated graph -> quantization-aware training -> INT8 ONNX in Q/DQ form."""

import torch
from torch import Tensor, nn

from edgetune.finetune.evaluation import evaluate
from edgetune.finetune.options import TrainOptions
from edgetune.finetune.trainer import train
from edgetune.hashing import canonical_json
from edgetune.models.tensors import load_tensors
from edgetune.quantization.qat import QuantizedNetwork
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples
from edgetune.steps.quantize import calibrated, export_checked
from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as notes, the curve and how close ONNX Runtime's outputs are to torch's.

    What training does not better on validation stays as calibration left it.
    """
    params, made = context.params, calibrated(context)
    network, teacher = (
        QuantizedNetwork(made.graph, learn_scales=params.get("scales", "learned") == "learned"),
        made.network.eval().requires_grad_(False),
    )
    plain = make_examples(context, made.spec, batch_size=32, augmentation="none")
    before, _ = evaluate(network, plain.validation(), torch.device("cpu"))
    start = {key: value.detach().clone() for key, value in network.state_dict().items()}

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        logits = logits_of(model(images))
        with torch.no_grad():
            wanted = logits_of(teacher.to(images.device)(images))
        hard = cross_entropy(logits, labels, params["label_smoothing"])
        weight, temperature = params["distillation_weight"], params["distillation_temperature"]
        mixed: Tensor = (1.0 - weight) * hard + weight * distillation(logits, wanted, temperature)
        return mixed

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
    examples = make_examples(context, made.spec, params["batch_size"], params["augmentation"])
    trained = train(network, options, examples, loss, context.scratch, context.tick)
    network.cpu()
    after = trained.history[trained.best_epoch - 1]["val_accuracy"]
    if after < before:
        load_tensors(network, start)
    export_checked(network.settle(), made, context)
    curve = {"history": trained.history, "calibrated_val_accuracy": before, "kept": after >= before}
    context.note("training.json").write_text(canonical_json(curve), encoding="utf-8")
