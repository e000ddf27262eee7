"""The pretrained network learns the user's classes."""

import torch
from torch import Tensor, nn

from edgetune.finetune.trainer import TrainOptions, train
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec, save_checkpoint
from edgetune.models.head import head_keys
from edgetune.models.weights import fit_weights, read_weights
from edgetune.models.zoo import library_weights
from edgetune.steps.context import StepContext
from edgetune.steps.examples import load_index, make_examples
from edgetune.tasks.image_classification import cross_entropy, logits_of


def run(context: StepContext) -> None:
    """Write the trained checkpoint and its history."""
    params = context.params
    spec = NetworkSpec(
        name=params["model"]["name"],
        num_classes=len(load_index(context).labels),
        image_size=params["image_size"],
        args=params["model"]["args"],
    )
    network, fresh = pretrained(spec, context)

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits_of(model(images)), labels, params["label_smoothing"])

    options = TrainOptions(
        strategy=params["strategy"],
        epochs=params["epochs"],
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_epochs=params["warmup_epochs"],
        precision=params["precision"],
        seed=context.seed,
    )
    examples = make_examples(context, spec.image_size, params["batch_size"], params["augmentation"])
    trained = train(network, options, examples, loss, context.scratch, context.tick)
    save_checkpoint(context.out, spec, network, [])
    notes = {**trained.to_json(), "fresh_keys": fresh}
    context.note("training.json").write_text(canonical_json(notes), encoding="utf-8")


def pretrained(spec: NetworkSpec, context: StepContext) -> tuple[nn.Module, list[str]]:
    """The network with its pretrained weights and a fresh head; also the keys left at their fresh values."""
    torch.manual_seed(context.seed)
    network = spec.make(context.base)
    head = head_keys(lambda classes: spec.make(context.base, classes), spec.num_classes)
    if context.weights is not None:
        return network, fit_weights(network, read_weights(context.weights), head, context.weights.name)
    if context.params["model"]["pretrained"] and spec.name.startswith("torchvision/"):
        return network, fit_weights(network, library_weights(spec.name), head, f"torchvision's {spec.name}")
    return network, sorted(network.state_dict())
