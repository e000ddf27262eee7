"""Checkpoint -> calibrated graph -> quantization-aware training -> INT8 ONNX in Q/DQ form."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from edgetune.export.onnx_export import export_onnx
from edgetune.export.parity import check_parity
from edgetune.finetune.trainer import TrainOptions, evaluate, train
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import load_checkpoint
from edgetune.models.tensors import load_tensors
from edgetune.quantization.qat import QuantizedNetwork
from edgetune.quantization.quantize import quantize
from edgetune.records import QuantizationScheme
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples
from edgetune.steps.quantize import kept_in_float
from edgetune.tasks.image_classification import cross_entropy, distillation, logits_of

PARITY_BATCHES = 2


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as notes, the curve and how close ONNX Runtime's outputs are to torch's.

    What training does not better on validation stays as calibration left it.
    """
    params = context.params
    spec, teacher, _ = load_checkpoint(context.inputs["network"], context.base)
    scheme = QuantizationScheme(**{**params["scheme"], "operators": tuple(params["scheme"]["operators"])})
    plain = make_examples(context, spec, batch_size=32, augmentation="none")

    def samples() -> Iterator[Tensor]:
        return (images for images, _ in plain.calibration(params["calibration_samples"]))

    graph = quantize(
        teacher,
        spec.example(),
        scheme,
        samples,
        repair=tuple(params["repair"]),
        keep_float=kept_in_float(context),
        progress=context.tick,
    )
    network = QuantizedNetwork(graph)
    before, _ = evaluate(network, plain.validation(), torch.device("cpu"))
    start = {key: value.detach().clone() for key, value in network.state_dict().items()}
    teacher = teacher.eval().requires_grad_(False)

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
    examples = make_examples(context, spec, params["batch_size"], params["augmentation"])
    trained = train(network, options, examples, loss, context.scratch, context.tick)
    network.cpu()
    after = trained.history[trained.best_epoch - 1]["val_accuracy"]
    if after < before:
        load_tensors(network, start)
    settled = network.settle()
    path = context.out / "model.onnx"
    export_onnx(settled, spec.example(), path, opset=params["opset"])
    parity = check_parity(settled, path, islice(samples(), PARITY_BATCHES))
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")
    curve = {"history": trained.history, "calibrated_val_accuracy": before, "kept": after >= before}
    context.note("training.json").write_text(canonical_json(curve), encoding="utf-8")
